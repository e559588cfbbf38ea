"""What asyncio's code sees in place of a selector."""

from __future__ import annotations

import selectors
from typing import Any


class FdCallbacksView(selectors.BaseSelector):
    """The part of a selector that asyncio's transports use: is a descriptor watched?

    The loop core does the waiting, so the rest of a selector is missing.
    """

    def __init__(self, callbacks: dict[int, Any]) -> None:
        self._callbacks = callbacks

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        callbacks = self._callbacks[fd]
        events = 0
        if callbacks.reader is not None:
            events |= selectors.EVENT_READ
        if callbacks.writer is not None:
            events |= selectors.EVENT_WRITE
        data = callbacks.reader, callbacks.writer
        return selectors.SelectorKey(fileobj, callbacks.fd, events, data)

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {fd: self.get_key(fd) for fd in self._callbacks}

    def close(self) -> None:
        pass

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        raise NotImplementedError("use loop.add_reader or loop.add_writer")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise NotImplementedError("use loop.remove_reader or loop.remove_writer")

    def select(self, timeout: float | None = None) -> list[Any]:
        raise NotImplementedError("the loop does its own waiting")
