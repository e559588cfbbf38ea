"""Every process of a suite's environment gets the loop under test as asyncio's own.

A ``.pth`` file imports this as Python starts, in the processes that the tests
start as well.  Whatever way a test then comes by a loop, through a runner, a
policy, ``asyncio.new_event_loop``, the class by its name or uvloop's functions,
it is of the kind that ``FOREIGN_LOOP`` names.  With ``asyncio`` there, all is done
alike and the loop is asyncio's: the reference differs in nothing else.
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

    return aioadapt.EpollEventLoop if kind == "epoll" else aioadapt.UringEventLoop


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
    # uvloop's own has no child watcher, which Python 3.11's loop asks for.
    names.EventLoopPolicy = asyncio.DefaultEventLoopPolicy


if "FOREIGN_LOOP" in os.environ:
    put_in_place(
        os.environ["FOREIGN_LOOP"], os.environ.get("FOREIGN_STANDS_IN_FOR", "")
    )
