"""Nothing is freed or handed over while the kernel holds it."""

import errno
import gc
import os
import weakref
from pathlib import Path

import pytest

from aioadapt._testing.stepping import (
    Completion,
    PollOnce,
    RecvInto,
    RecvMultishot,
    StepOp,
    StepRing,
)

from .conftest import COMPLETES_WITHIN_S, SUPPORT, Pair, drain

BUFFER_BYTES = 16384


def recv_into(ring: StepRing, fd: int) -> StepOp:
    return RecvInto(fd, 64)


def recv_multishot(ring: StepRing, fd: int) -> StepOp:
    return RecvMultishot(fd, ring)


def poll_once(ring: StepRing, fd: int) -> StepOp:
    return PollOnce(fd)


@pytest.mark.parametrize("make", [recv_into, recv_multishot, poll_once])
def test_an_operation_lives_until_its_last_completion_and_no_longer(
    ring: StepRing, pair: Pair, make: object
) -> None:
    assert callable(make)
    op = make(ring, pair[0].fileno())
    alive = weakref.ref(op)
    ring.begin(op)
    ring.enter()
    del op
    gc.collect()
    assert alive() is not None, "the kernel may still write into it"

    op = alive()
    assert op is not None
    ring.cancel(op)
    del op
    gc.collect()
    assert alive() is not None, "a cancel changes nothing about that"

    drain(ring)
    gc.collect()
    assert alive() is None


def test_an_operation_outlives_its_cancel(ring: StepRing, pair: Pair) -> None:
    """The cancel's own completion refers to the operation too: until both have
    been dispatched, no other object may get its address."""
    ours, peer = pair
    op = RecvInto(ours.fileno(), 64)
    alive = weakref.ref(op)
    peer.send(b"x")
    ring.begin(op)
    ring.enter(COMPLETES_WITHIN_S)
    ring.cancel(op)
    del op

    assert ring.reap() == 1
    ring.dispatch()
    assert alive() is not None
    assert (ring.in_kernel, ring.cancels_in_flight) == (0, 1)

    drain(ring)
    assert alive() is None


def test_only_the_completion_without_more_ends_a_multishot_recv(
    ring: StepRing, pair: Pair
) -> None:
    ours, peer = pair
    op = RecvMultishot(ours.fileno(), ring)
    ring.begin(op)
    for words in (b"one", b"two", b"three"):
        peer.send(words)
        assert ring.wait(COMPLETES_WITHIN_S) == 1
        ring.dispatch()
        assert op.completions[-1] == Completion(len(words), last=False, data=words)
        assert (ring.in_kernel, op.is_idle) == (1, False)

    ring.cancel(op)
    drain(ring)

    assert op.completions[-1] == Completion(-errno.ECANCELED, last=True)
    assert op.is_idle


def test_the_end_of_a_connection_is_a_multishot_recvs_last_completion(
    ring: StepRing, pair: Pair
) -> None:
    """Only over TCP: some kernels miss the end of a Unix socket (liburing
    issue 1549), so single recvs are used there."""
    ours, peer = pair
    op: StepOp
    if ours.family.name == "AF_UNIX":
        op = RecvInto(ours.fileno(), 64)
    else:
        op = RecvMultishot(ours.fileno(), ring)
    ring.begin(op)
    peer.close()

    drain(ring)

    assert op.completions == [Completion(0, last=True)]


def test_closing_a_descriptor_that_has_a_duplicate_ends_nothing(
    ring: StepRing, pair: Pair
) -> None:
    """The armed recv takes the next bytes from the socket that both share, so
    code that detaches a connection must wait for the last completion."""
    ours, peer = pair
    duplicate = os.dup(ours.fileno())
    op = RecvInto(ours.fileno(), 64)
    ring.begin(op)
    ring.enter()

    ours.close()
    assert ring.wait(0) == 0, "close() ended it"
    peer.send(b"whose are these?")
    drain(ring)

    assert op.received == b"whose are these?"
    with pytest.raises(BlockingIOError):
        os.set_blocking(duplicate, False)
        os.read(duplicate, 64)
    os.close(duplicate)


def test_closing_the_only_descriptor_ends_nothing_either(
    ring: StepRing, pair: Pair
) -> None:
    """The operation keeps the socket open: until it ends, the peer sees no EOF."""
    ours, peer = pair
    op = RecvInto(ours.fileno(), 64)
    ring.begin(op)
    ring.enter()
    ours.close()

    peer.send(b"still here")
    drain(ring)

    assert op.received == b"still here"


def test_a_ring_with_an_operation_in_the_kernel_cannot_be_closed(
    ring: StepRing, pair: Pair
) -> None:
    op = PollOnce(pair[0].fileno())
    ring.begin(op)

    with pytest.raises(RuntimeError, match="1 operations in the kernel"):
        ring.close()

    ring.cancel(op)
    drain(ring)


def test_what_a_callback_raises_leaves_the_rest_of_the_batch_to_be_run(
    ring: StepRing, pair: Pair
) -> None:
    """KeyboardInterrupt propagates out of a loop, and the loop may be run again."""
    ours, peer = pair
    first, second = PollOnce(ours.fileno()), PollOnce(peer.fileno())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    first.on_completed = interrupt
    ours.send(b"x")
    peer.send(b"x")
    ring.begin(first)
    ring.begin(second)
    ring.enter(COMPLETES_WITHIN_S)

    assert ring.reap() == 2
    with pytest.raises(KeyboardInterrupt):
        ring.dispatch()
    assert (first.is_idle, second.is_idle) == (True, False)
    assert ring.dispatch() == 1

    assert second.is_idle


def bytes_not_for_children() -> int:
    """Memory of this process that a fork does not copy; see proc(5), VmFlags."""
    total = size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1]) * 1024
        elif line.startswith("VmFlags:") and " dc" in line:
            total += size
    return total


def test_a_forked_child_does_not_get_the_memory_that_the_kernel_fills(
    nothing_is_left: None,
) -> None:
    """Otherwise the parent could get a copy on write, which the kernel never fills."""
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    before = bytes_not_for_children()
    ring = StepRing()
    assert bytes_not_for_children() - before >= ring.buffers * BUFFER_BYTES
    ring.close()
