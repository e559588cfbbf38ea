"""Clients that always have a request in flight, each on its own thread."""

import threading

from .real import Peer


class Caller(threading.Thread):
    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer
        self.answered_by: list[str] = []
        self.failed: BaseException | None = None
        self._enough = threading.Event()

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self.answered_by.append(self.peer.ask(b"x" * (self.peer.asked % 900)))
        except BaseException as error:
            self.failed = error

    def hang_up(self, timeout_s: float) -> None:
        """Stop after the answer it is waiting for."""
        self._enough.set()
        self.join(timeout_s)
