"""The options of the demo."""

from dataclasses import dataclass

from aioadapt import AioadaptError


class DemoError(AioadaptError):
    """The demo cannot start or continue; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 10.0
    connections: int = 256
    rounds: int | None = None  # there and back; None: as many as fit into the time
    think_ms: float = 0.0
    drains: bool = False  # no controller: drain everything there and back, repeatedly
