"""asyncio event loops on epoll and io_uring, and connections that move between them."""

from typing import TYPE_CHECKING

from .engine import install, new_event_loop, run
from .epoll_loop import EpollEventLoop
from .errors import (
    AioadaptError,
    ForkedLoopError,
    LoopStoppedError,
    MigrationOrderError,
    UnknownEngineError,
    UringUnavailableError,
    WrongThreadError,
)
from .loop_thread import LoopThread
from .migration.connection import Connection
from .migration.migrator import Migrator
from .migration.phase import Phase
from .migration.report import DrainReport, MigratorStats, MoveResult, Pauses
from .stats import LoopStats
from .support import UringSupport, uring_support
from .uring_loop import UringEventLoop

if TYPE_CHECKING:
    from .policy import EventLoopPolicy as EventLoopPolicy
else:

    def __getattr__(name):
        # asyncio warns of its policies from Python 3.14 on: only who asks for
        # ours shall hear it.
        if name == "EventLoopPolicy":
            from .policy import EventLoopPolicy

            return EventLoopPolicy
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Without EventLoopPolicy: "import *" must neither warn nor, from Python 3.16 on, fail.
__all__ = [
    "AioadaptError",
    "Connection",
    "DrainReport",
    "EpollEventLoop",
    "ForkedLoopError",
    "LoopStats",
    "LoopStoppedError",
    "LoopThread",
    "MigrationOrderError",
    "Migrator",
    "MigratorStats",
    "MoveResult",
    "Pauses",
    "Phase",
    "UnknownEngineError",
    "UringEventLoop",
    "UringSupport",
    "UringUnavailableError",
    "WrongThreadError",
    "install",
    "new_event_loop",
    "run",
    "uring_support",
]
