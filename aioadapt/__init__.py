"""asyncio event loops on epoll and io_uring, and connections that move between them."""

from .errors import (
    AioadaptError,
    ForkedLoopError,
    LoopStoppedError,
    MigrationOrderError,
    UringUnavailableError,
    WrongThreadError,
)

__all__ = [
    "AioadaptError",
    "ForkedLoopError",
    "LoopStoppedError",
    "MigrationOrderError",
    "UringUnavailableError",
    "WrongThreadError",
]
