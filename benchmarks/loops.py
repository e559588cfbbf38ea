"""The names of event loops: our own, the peers, and ``module:factory``."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from importlib import metadata

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

LOOPS: dict[str, str] = {
    "epoll": "aioadapt:EpollEventLoop",
    "uring": "aioadapt:UringEventLoop",
    "adaptive": "aioadapt:AdaptiveEventLoop",
    "asyncio": "asyncio:new_event_loop",
    "uvloop": "uvloop:new_event_loop",
    "rloop": "rloop:new_event_loop",
    "zloop": "zloop:new_event_loop",
    "veloxloop": "veloxloop:new_event_loop",
    # Not a loop of its own: it replaces the transports of another loop.
    "aiofastnet": "benchmarks.loops:aiofastnet_over_uvloop",
}


class NotInstalledError(Exception):
    """The loop is a peer that is not installed in this environment."""


def factory_of(name: str) -> LoopFactory:
    """The factory for a name in :data:`LOOPS`, or for ``module:factory``."""
    module_name, colon, attribute = LOOPS.get(name, name).partition(":")
    if not colon:
        known = ", ".join(LOOPS)
        raise ValueError(
            f"unknown loop {name!r}: expected one of {known}, or module:factory"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"not installed: {error}") from error
    try:
        factory: LoopFactory = getattr(module, attribute)
    except AttributeError as error:
        raise NotInstalledError(f"not installed: {error}") from error
    return factory


def aiofastnet_over_uvloop() -> asyncio.AbstractEventLoop:
    try:
        aiofastnet = importlib.import_module("aiofastnet")
        uvloop = importlib.import_module("uvloop")
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"not installed: {error}") from error
    loop: asyncio.AbstractEventLoop = aiofastnet.loop_factory(uvloop.new_event_loop)()
    return loop


def version_of(name: str) -> str | None:
    """The version of the distribution that provides a loop, if there is one."""
    package = name if name in LOOPS else name.partition(":")[0].partition(".")[0]
    if package in ("epoll", "uring", "adaptive"):
        package = "aioadapt"
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
