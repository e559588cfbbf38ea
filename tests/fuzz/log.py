"""What was seen while a program ran: one trace per connection, and one of the loop.

Bytes that arrive one after the other are one event, however they were cut.
"""

import re
from contextvars import ContextVar
from typing import Any

Event = tuple[Any, ...]
Traces = dict[str, list[Event]]

#: Which step it was that, in the end, led to what happens now.
cause: ContextVar[str] = ContextVar("cause", default="-")

BYTES_EVENTS = frozenset({"data_received", "buffer_updated"})
MOST_EVENTS = 3000
"""A program that has more does not come to rest."""


class Log:
    def __init__(self) -> None:
        self.traces: Traces = {}
        self.count = 0
        self.callbacks: dict[str, int] = {}

    def add(self, name: str, *event: Any) -> None:
        self.count += 1
        if self.count <= MOST_EVENTS:
            self.traces.setdefault(name, []).append(event)

    def called(self, name: str, callback: str, *details: Any) -> None:
        """A callback of a program, and whom it says that it works for."""
        self.callbacks[callback] = self.callbacks.get(callback, 0) + 1
        trace = self.traces.setdefault(name, [])
        event = (callback, *details, f"for {cause.get()}")
        if callback in BYTES_EVENTS and trace:
            before = trace[-1]
            if before[0] == callback and before[2:] == event[2:]:
                self.count += 1
                trace[-1] = (callback, before[1] + event[1], *event[2:])
                return
        self.add(name, *event)


def in_words(error: BaseException | None) -> str:
    """The same words for the same error, whatever the addresses and descriptors."""
    if error is None:
        return "nothing"
    words = str(error)
    while (fewer := re.sub(r"<[^<>]*>", "OBJECT", words)) != words:
        words = fewer
    words = re.sub(r"\b(fd=|descriptor )\d+", r"\1N", words)
    words = re.sub(r"\('127\.0\.0\.1', \d+\)", "ADDRESS", words)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
