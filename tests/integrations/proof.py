"""Proof from the loop's own counters that the loop under test did a test's work.

That a coroutine runs on a loop proves little: its library may use another loop, or a
thread, for the connection.  Our loops count what their own transports carry; for
asyncio, the reference, only the class is checked.
"""

import asyncio

import aioadapt


def counted(loop: asyncio.AbstractEventLoop) -> aioadapt.LoopStats | None:
    """The loop's counters, or None for asyncio's loop."""
    if isinstance(loop, aioadapt.EpollEventLoop | aioadapt.UringEventLoop):
        return loop.stats()
    assert type(loop) is asyncio.SelectorEventLoop
    return None


def assert_carried(loop: asyncio.AbstractEventLoop, at_least: int) -> None:
    """The loop's own transports received and sent *at_least* bytes each."""
    stats = counted(loop)
    if stats is not None:
        assert stats.bytes_in >= at_least
        assert stats.bytes_out >= at_least


def assert_woken(loop: asyncio.AbstractEventLoop, at_least: int) -> None:
    """The loop reported *at_least* ready descriptors or complete operations.

    For libraries that read and write themselves and use the loop only for readiness.
    """
    stats = counted(loop)
    if stats is not None:
        assert stats.events >= at_least


def running_engine() -> str:
    """ "epoll" or "uring", for the running loop, which must be one of ours."""
    stats = counted(asyncio.get_running_loop())
    assert stats is not None
    return stats.engine
