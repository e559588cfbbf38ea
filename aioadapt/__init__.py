"""asyncio event loops on epoll and io_uring, and connections that move between them.

PYTEST_DONT_REWRITE: else pytest, which has a plugin of ours to load, would warn each
program that imports aioadapt and then calls pytest.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from .policy import EventLoopPolicy as EventLoopPolicy
    from .serving.adaptive_server import AdaptiveServer as AdaptiveServer
    from .serving.run import serve as serve
    from .stats import LoopStats
    from .support import UringSupport, uring_support
    from .uring_loop import UringEventLoop
else:
    # Each is looked up when it is first asked for.  So a program pays for what it
    # uses; what needs uvicorn, which not everybody has, is met only by who asks for
    # it; asyncio's warning of its policies, from Python 3.14 on, likewise; and
    # pytest, which loads aioadapt.pytest_plugin at each of its starts, loads no more.
    _HOMES = {
        "AdaptiveServer": "serving.adaptive_server",
        "AioadaptError": "errors",
        "Connection": "migration.connection",
        "Controller": "control.controller",
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
        "Switch": "control.switch",
        "Thresholds": "control.thresholds",
        "ThresholdsError": "errors",
        "UnknownEngineError": "errors",
        "UringEventLoop": "uring_loop",
        "UringSupport": "support",
        "UringUnavailableError": "errors",
        "Verdict": "control.decide",
        "WorkloadHint": "control.start",
        "WrongThreadError": "errors",
        "install": "engine",
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
        globals()[name] = value  # the next look finds it without this function
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})


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
