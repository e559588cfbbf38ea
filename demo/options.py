"""What the demo was asked to do."""

from dataclasses import dataclass

from aioadapt import AioadaptError


class DemoError(AioadaptError):
    """The demo cannot begin or go on; the message is for the person who started it."""


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 10.0
    connections: int = 256
    rounds: int | None = None  # there and back; None: as many as there is time for
    think_ms: float = 0.0
    drains: bool = False  # no controller: everything there and back, again and again
