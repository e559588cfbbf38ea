"""A loop that cannot be made, or cannot start, says why and leaves nothing behind."""

import errno
import gc
from collections.abc import Callable
from typing import Any

import pytest
from loops import OURS, factory_of, or_skip

from .boundary import LIBRARY, Boundary
from .outcome import descriptors
from .plan import Strike

pytestmark = pytest.mark.skipif(
    not LIBRARY, reason="only ./run faults has the build for this"
)

MAKING = ("eventfd", "epoll create", "epoll add")
STARTING = ("ring setup", "ring buffers", "mmap")


def with_each_failing(call: str, number: int, attempt: Callable[[], Any]) -> list[int]:
    """Let each occurrence of the call fail; answers the errnos that came of it."""
    boundary = Boundary()
    boundary.arm(())
    attempt()
    made = boundary.counts()[call]
    errnos = []
    for nth in range(made):
        gc.collect()
        before = descriptors()
        # Six times: a smaller ring is tried where there is no memory for a large one.
        boundary.arm([Strike(call, nth, number, times=6)])
        try:
            with pytest.raises(OSError) as caught:
                attempt()
        finally:
            boundary.disarm()
        errnos.append(caught.value.errno or 0)
        del caught
        gc.collect()
        assert descriptors() <= before
    return errnos


@pytest.mark.parametrize("call", MAKING)
@pytest.mark.parametrize("kind", OURS)
def test_a_loop_that_cannot_be_made(kind: str, call: str) -> None:
    make = factory_of(or_skip(kind))
    number = errno.ENOMEM if call == "epoll add" else errno.EMFILE
    errnos = with_each_failing(call, number, lambda: make().close())
    assert errnos == [number] * len(errnos)
    assert errnos or (kind, call) == ("uring", "epoll add")


@pytest.mark.parametrize("call", STARTING)
def test_a_ring_that_cannot_be_made(call: str) -> None:
    make = factory_of(or_skip("uring"))

    def run() -> None:
        loop = make()
        try:
            loop.call_soon(loop.stop)
            loop.run_forever()
        finally:
            loop.close()

    assert with_each_failing(call, errno.ENOMEM, run) == [errno.ENOMEM] * {
        "mmap": 2
    }.get(call, 1)


def test_a_loop_whose_ring_could_not_be_made_runs_once_it_can() -> None:
    loop = factory_of(or_skip("uring"))()
    boundary = Boundary()
    boundary.arm([Strike("ring buffers", 0, errno.ENOMEM)])
    called: list[int] = []
    loop.call_soon(called.append, 1)
    loop.call_soon(loop.stop)
    try:
        with pytest.raises(OSError, match="Cannot allocate memory"):
            loop.run_forever()
        assert called == []
        loop.run_forever()
        assert called == [1]
    finally:
        boundary.disarm()
        loop.close()
