"""The kinds of loop that the shared tests run over, and why one may be missing."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pytest

import aioadapt
from aioadapt._testing.swapping import SwappingCore

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Reported = list[dict[str, Any]]


class Run(Protocol):
    """Runs a coroutine to completion on the test's loop, within a time limit."""

    def __call__(self, main: Coroutine[Any, Any, T], /) -> T: ...


KINDS = ("asyncio", "epoll", "uring", "swapping")
"""asyncio comes first: it is the reference for the others.  The last is an adaptive
loop that gives its connections the other engine again and again."""

OURS = ("epoll", "uring", "swapping")

_CLASSES = {
    "epoll": "EpollEventLoop",
    "uring": "UringEventLoop",
    "adaptive": "AdaptiveEventLoop",
}


class SwappingEventLoop(SwappingCore, aioadapt.AdaptiveEventLoop):
    """An adaptive loop that gives connections the other engine in every iteration."""

    def __init__(self) -> None:
        super().__init__(adapting=False)


@dataclass(frozen=True)
class Missing(Exception):
    """This kind of loop cannot run here."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def factory_of(kind: str) -> LoopFactory:
    """The callable that makes loops of this kind.

    Raises:
        Missing: this machine or this build has no such loop.
    """
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    if kind == "swapping":
        factory_of("uring")
        return SwappingEventLoop
    name = _CLASSES[kind]
    factory: LoopFactory | None = getattr(aioadapt, name, None)
    if factory is None:
        raise Missing(f"aioadapt.{name} is not in this build")
    if kind == "uring":
        support = aioadapt.uring_support()
        if not support.available:
            raise Missing(f"no io_uring here: {support.reason}")
    return factory


def or_skip(kind: str) -> str:
    """The kind, if it can run here; otherwise the test is skipped."""
    try:
        factory_of(kind)
    except Missing as missing:
        pytest.skip(missing.reason)
    return kind


def run_iterations(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run *count* iterations without waiting."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


def in_words(kind: str) -> str:
    """How a subprocess names this kind of loop: ``module:attribute``."""
    if kind == "asyncio":
        return "asyncio:SelectorEventLoop"
    # A program elsewhere does not have our test's loop.
    return f"aioadapt:{_CLASSES.get(kind, 'AdaptiveEventLoop')}"


PYTHON = sys.version_info[:2]
