"""A protocol that answers HTTP/1 requests, and a release handler that records calls."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from .conftest import Recorder

REQUEST = b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n"
NEXT = b"POST /two HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"


class Http1Protocol(Recorder):
    """Answers every request with its target; keeps what it cannot parse yet."""

    def __init__(self) -> None:
        super().__init__()
        self.unparsed = b""
        self.answered: list[bytes] = []
        self.answers_later = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.unparsed += data
        while b"\r\n\r\n" in self.unparsed:
            head, rest = self.unparsed.split(b"\r\n\r\n", 1)
            length = 4 if b"Content-Length: 4" in head else 0
            if len(rest) < length:
                return
            self.unparsed = rest[length:]
            target = head.split(b" ")[1]
            self.answered.append(target)
            if self.answers_later:
                asyncio.get_running_loop().call_soon(self.answer, target)
            else:
                self.answer(target)

    def answer(self, target: bytes) -> None:
        self.transport.write(answer_to(target))


def answer_to(target: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target)


class Handler:
    """Records its calls; owns the descriptor once it has been released."""

    def __init__(
        self, says: Callable[[], bool] = lambda: True, admission_group: object = None
    ) -> None:
        self.admission_group = admission_group
        self.calls: list[str] = []
        self.released_: Any = None
        self.says = says
        self.on_call: dict[str, Callable[[], object]] = {}

    def may_release(self) -> bool:
        self._note("may_release")
        return self.says()

    def stopped_reading(self) -> None:
        self._note("stopped_reading")

    def became_active(self) -> None:
        self._note("became_active")

    def released(self, released: Any) -> None:
        self.released_ = released
        self._note("released")

    def closed(self) -> None:
        self._note("closed")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.on_call:
            self.on_call[call]()

    @property
    def is_over(self) -> bool:
        return self.calls[-1:] in (["released"], ["closed"])

    def close(self) -> None:
        if self.released_ is not None:
            os.close(self.released_.fd)
