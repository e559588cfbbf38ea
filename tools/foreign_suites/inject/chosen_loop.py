"""Makes the loop under test asyncio's own loop, in every process of a suite.

A ``.pth`` file imports this module when Python starts, also in processes that the
tests start.  However a test then gets a loop, from a runner, a policy,
``asyncio.new_event_loop``, the class by its name or uvloop's functions, it is of the
kind that ``FOREIGN_LOOP`` names.  With ``FOREIGN_LOOP=asyncio`` the same is done with
asyncio's loop, so the reference differs in nothing else.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import Any


def loop_class(kind: str) -> type[asyncio.AbstractEventLoop]:
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    import aioadapt

    if kind == "changing":
        return changing_loop_class()
    name: str = {"epoll": "Epoll", "uring": "Uring", "adaptive": "Adaptive"}[kind]
    cls: type[asyncio.AbstractEventLoop] = getattr(aioadapt, f"{name}EventLoop")
    return cls


def changing_loop_class() -> type[asyncio.AbstractEventLoop]:
    from aioadapt import AdaptiveEventLoop

    class ChangingEventLoop(AdaptiveEventLoop):
        """Its preferred engine changes every millisecond in which it runs."""

        def __init__(self) -> None:
            super().__init__(adapting=False)
            self._look_every(0.001)

        def _look(self) -> None:
            self._prefer("epoll" if self.engine == "uring" else "uring")

    return ChangingEventLoop


def put_in_place(kind: str, of: str) -> None:
    cls: Any = loop_class(kind)
    names: Any = asyncio
    names.unix_events._UnixDefaultEventLoopPolicy._loop_factory = cls
    names.SelectorEventLoop = cls
    if hasattr(asyncio, "EventLoop"):  # 3.13
        names.EventLoop = cls
    if of == "uvloop":
        stand_in_for_uvloop(cls)


def stand_in_for_uvloop(cls: Any) -> None:
    names: Any = importlib.import_module("uvloop")
    names.Loop = names.new_event_loop = cls
    names.run.__kwdefaults__["loop_factory"] = cls
    # uvloop's own policy has no child watcher, which Python 3.11's loop needs.
    names.EventLoopPolicy = asyncio.DefaultEventLoopPolicy


if "FOREIGN_LOOP" in os.environ:
    put_in_place(
        os.environ["FOREIGN_LOOP"], os.environ.get("FOREIGN_STANDS_IN_FOR", "")
    )
