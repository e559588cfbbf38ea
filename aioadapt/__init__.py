"""asyncio event loops on epoll and io_uring, and connections that move between them."""

from typing import TYPE_CHECKING

from .control.controller import Controller
from .control.decide import Decision, Verdict
from .control.start import WorkloadHint
from .control.switch import Switch
from .control.thresholds import Thresholds
from .engine import install, new_event_loop, run
from .epoll_loop import EpollEventLoop
from .errors import (
    AioadaptError,
    ForeignLoopError,
    ForkedLoopError,
    LoopStoppedError,
    MigrationOrderError,
    ServeError,
    ThresholdsError,
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
    from .serving.adaptive_server import AdaptiveServer as AdaptiveServer
    from .serving.run import serve as serve
else:
    # They need uvicorn, which not everybody has; and they stand above this
    # module, whose names they use, so that it cannot import them itself.
    _SERVING = {"AdaptiveServer": "adaptive_server", "serve": "run"}

    def __getattr__(name):
        # asyncio warns of its policies from Python 3.14 on: only who asks for
        # ours shall hear it.
        if name == "EventLoopPolicy":
            from .policy import EventLoopPolicy

            return EventLoopPolicy
        if name in _SERVING:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.serving.{_SERVING[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Without EventLoopPolicy: "import *" must neither warn nor, from Python 3.16 on, fail.
# Nor with what needs uvicorn.
__all__ = [
    "AioadaptError",
    "Connection",
    "Controller",
    "Decision",
    "DrainReport",
    "EpollEventLoop",
    "ForeignLoopError",
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
    "ServeError",
    "Switch",
    "Thresholds",
    "ThresholdsError",
    "UnknownEngineError",
    "UringEventLoop",
    "UringSupport",
    "UringUnavailableError",
    "Verdict",
    "WorkloadHint",
    "WrongThreadError",
    "install",
    "new_event_loop",
    "run",
    "uring_support",
]
