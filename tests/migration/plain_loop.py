"""asyncio's own loop with an inbox: enough for a LoopThread."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from aioadapt import LoopStoppedError
from aioadapt.migration.ports import Message


@dataclass
class Stats:
    engine: str = "plain"


class PlainLoop(asyncio.SelectorEventLoop):
    watch_http1 = False

    def __init__(self) -> None:
        super().__init__()
        self._inbox: deque[Message] = deque()
        self._takes_more = True
        self._inbox_lock = threading.Lock()
        self.closed_by: threading.Thread | None = None

    def stats(self) -> "Stats":
        return Stats()

    def streams(self) -> list[Any]:
        return []

    def post(self, message: Message) -> None:
        with self._inbox_lock:
            if not self._takes_more:
                raise LoopStoppedError(f"{self!r} takes no more")
            self._inbox.append(message)
        self.call_soon_threadsafe(self._deliver)

    def yield_to(self, other: object) -> None:
        """The test decides which thread runs."""

    def close_inbox(self) -> None:
        with self._inbox_lock:
            self._takes_more = False
            undelivered, self._inbox = self._inbox, deque()
        for message in undelivered:
            message.refuse()

    def close(self) -> None:
        if self.closed_by is None:
            self.closed_by = threading.current_thread()
        self.close_inbox()
        super().close()

    def _deliver(self) -> None:
        while True:
            with self._inbox_lock:
                if not self._inbox:
                    return
                message = self._inbox.popleft()
            message.deliver()


class Script:
    """What the next loop does, and the loops made so far."""

    def __init__(self) -> None:
        self.loops: list[PlainLoop] = []
        self.error_on_making: Exception | None = None
        self.error_on_running: Exception | None = None

    def new_event_loop(self, engine: str) -> PlainLoop:
        if self.error_on_making is not None:
            raise self.error_on_making
        loop = PlainLoop()
        if self.error_on_running is not None:
            error = self.error_on_running

            def run_forever() -> None:
                raise error

            loop.run_forever = run_forever  # type: ignore[method-assign]
        self.loops.append(loop)
        return loop


ENDS_WITHIN_S = 10.0


async def where() -> threading.Thread:
    return threading.current_thread()
