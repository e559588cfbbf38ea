"""asyncio event loops on epoll and io_uring, and connections that move between them.

PYTEST_DONT_REWRITE: pytest loads our plugin.  Without this marker it would warn in
every program that imports aioadapt and then runs pytest.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adaptive_loop import AdaptiveEventLoop
    from .asyncio_default import install
    from .control.decide import Decision, Verdict
    from .control.start import WorkloadHint
    from .control.thresholds import Thresholds
    from .engine import new_event_loop, run
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
    from .policy import EventLoopPolicy as EventLoopPolicy
    from .serving.adaptive_server import AdaptiveServer as AdaptiveServer
    from .serving.run import serve as serve
    from .standby.controller import Controller
    from .standby.switch import Switch
    from .stats import LoopStats
    from .support import UringSupport, uring_support
    from .uring_loop import UringEventLoop
else:
    # Names are imported on first use.  So a program pays only for what it uses.
    # uvicorn, which not everyone has installed, is imported only for the names that
    # need it, and asyncio's deprecation warning about policies (Python 3.14 and
    # later) appears only in programs that use one.  pytest, which loads
    # aioadapt.pytest_plugin whenever it starts, loads nothing else.
    _HOMES = {
        "AdaptiveEventLoop": "adaptive_loop",
        "AdaptiveServer": "serving.adaptive_server",
        "AioadaptError": "errors",
        "Connection": "migration.connection",
        "Controller": "standby.controller",
        "Decision": "control.decide",
        "DrainReport": "migration.report",
        "EpollEventLoop": "epoll_loop",
        "EventLoopPolicy": "policy",
        "ForeignLoopError": "errors",
        "ForkedLoopError": "errors",
        "LoopStats": "stats",
        "LoopStoppedError": "errors",
        "LoopThread": "loop_thread",
        "MigrationOrderError": "errors",
        "Migrator": "migration.migrator",
        "MigratorStats": "migration.report",
        "MoveResult": "migration.report",
        "Pauses": "migration.report",
        "Phase": "migration.phase",
        "ServeError": "errors",
        "Switch": "standby.switch",
        "Thresholds": "control.thresholds",
        "ThresholdsError": "errors",
        "UnknownEngineError": "errors",
        "UringEventLoop": "uring_loop",
        "UringSupport": "support",
        "UringUnavailableError": "errors",
        "Verdict": "control.decide",
        "WorkloadHint": "control.start",
        "WrongThreadError": "errors",
        "install": "asyncio_default",
        "new_event_loop": "engine",
        "run": "engine",
        "serve": "serving.run",
        "uring_support": "support",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # found without this function from now on
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})


# EventLoopPolicy is left out: "import *" must not warn, nor fail from Python 3.16 on.
# So are the names that need uvicorn.
__all__ = [
    "AdaptiveEventLoop",
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
