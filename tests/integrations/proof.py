"""Proof that a test's work was done by the loop under test, from the loop's own counters.

That a coroutine runs on a loop says little: its library may have put the
connection on another one, or into a thread.  Only a loop of ours counts what its
own transports carry; asyncio, the reference, is known by its class alone.
"""

import asyncio

import aioadapt


def counted(loop: asyncio.AbstractEventLoop) -> aioadapt.LoopStats | None:
    """What the loop has counted, or None where it is asyncio's."""
    if isinstance(loop, aioadapt.EpollEventLoop | aioadapt.UringEventLoop):
        return loop.stats()
    assert type(loop) is asyncio.SelectorEventLoop
    return None


def assert_carried(loop: asyncio.AbstractEventLoop, at_least: int) -> None:
    """The loop's own transports received and sent so many bytes, or more."""
    stats = counted(loop)
    if stats is not None:
        assert stats.bytes_in >= at_least
        assert stats.bytes_out >= at_least


def assert_woken(loop: asyncio.AbstractEventLoop, at_least: int) -> None:
    """The loop found so many descriptors ready, or operations complete, or more.

    For libraries that read and write themselves and only ask to be told when.
    """
    stats = counted(loop)
    if stats is not None:
        assert stats.events >= at_least


def running_engine() -> str:
    """ "epoll" or "uring", of the loop that runs here; it must be one of ours."""
    stats = counted(asyncio.get_running_loop())
    assert stats is not None
    return stats.engine
