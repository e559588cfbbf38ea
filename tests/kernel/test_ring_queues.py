"""Overfull submission queues, completion queues and buffer rings."""

import errno
import signal
import socket
from contextlib import ExitStack

import pytest

from aioadapt._testing.stepping import PollOnce, RecvMultishot, SendBytes, StepRing

from .conftest import COMPLETES_WITHIN_S, SUPPORT, Pair, drain

ENTRIES = 256
COMPLETIONS = 4096


def test_a_full_submission_queue_drops_no_operation(ring: StepRing, pair: Pair) -> None:
    ours, peer = pair
    ops = [PollOnce(ours.fileno()) for _ in range(10_000)]
    assert len(ops) > ENTRIES

    for op in ops:
        ring.begin(op)
    assert ring.in_kernel == len(ops)
    peer.send(b"x")
    drain(ring)

    assert [op for op in ops if len(op.completions) != 1] == []


def test_what_began_before_the_ring_was_enabled_is_submitted_by_a_wait(
    pair: Pair,
) -> None:
    """Nothing can be submitted before that, so what does not fit has to be kept."""
    if not SUPPORT.available:
        pytest.skip(SUPPORT.reason)
    ours, peer = pair
    ring = StepRing(enable=False)
    ops = [PollOnce(ours.fileno()) for _ in range(3 * ENTRIES)]
    for op in ops:
        ring.begin(op)
    ring.enable()
    peer.send(b"x")
    drain(ring)

    assert [op for op in ops if len(op.completions) != 1] == []
    ring.close()


def test_a_full_submission_queue_drops_no_cancel(ring: StepRing, pair: Pair) -> None:
    ops = [PollOnce(pair[0].fileno()) for _ in range(2_000)]
    for op in ops:
        ring.begin(op)
    for op in ops:
        ring.cancel(op)
    drain(ring)

    assert {op.completions[0].result for op in ops} == {-errno.ECANCELED}


def test_operations_are_submitted_in_the_order_in_which_they_began(
    ring: StepRing, pair: Pair
) -> None:
    """Even if the queue was full in between."""
    ours, peer = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # room for all
    ops = [SendBytes(ours.fileno(), b"%04d" % n) for n in range(300)]
    for op in ops:
        ring.begin(op)
    drain(ring)

    got = b""
    while len(got) < 4 * len(ops):
        got += peer.recv(1 << 16)
    assert got == b"".join(b"%04d" % n for n in range(300))


def test_a_burst_past_the_completion_queue_is_counted_and_kept(
    ring: StepRing, pair: Pair
) -> None:
    """An operation that is ready when submitted completes immediately, and nothing
    is reaped between two submissions."""
    ours, peer = pair
    peer.send(b"x")
    ops = [PollOnce(ours.fileno()) for _ in range(COMPLETIONS + 1_000)]
    for op in ops:
        ring.begin(op)
    assert ring.overflows == 0

    drain(ring)

    assert ring.overflows >= 1
    assert [op for op in ops if len(op.completions) != 1] == []


def test_a_recv_that_finds_every_buffer_lent_out_ends_with_enobufs(
    ring: StepRing,
) -> None:
    """The bytes stay in the socket, and the recv gets them when it is begun again."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(ring.buffers + 40)]
        for ours, peer in pairs:
            stack.enter_context(ours)
            stack.enter_context(peer)
        ops = [RecvMultishot(ours.fileno(), ring) for ours, _ in pairs]
        for number, (_, peer) in enumerate(pairs):
            peer.send(b"%d" % number)
        for op in ops:
            ring.begin(op)
        ring.enter()
        ring.reap()
        ring.dispatch()

        out_of_buffers = [op for op in ops if op.is_idle]
        assert len(out_of_buffers) == 40
        assert {op.completions[-1].result for op in out_of_buffers} == {-errno.ENOBUFS}
        for op in out_of_buffers:
            ring.begin(op)
        ring.wait(COMPLETES_WITHIN_S)
        ring.dispatch()

        assert [op.received for op in ops] == [b"%d" % n for n in range(len(pairs))]
        for op in ops:
            ring.cancel(op)
        drain(ring)


def test_no_more_completions_are_collected_than_asked_for(
    ring: StepRing, pair: Pair
) -> None:
    ours, peer = pair
    ops = [PollOnce(ours.fileno()) for _ in range(10)]
    peer.send(b"x")
    for op in ops:
        ring.begin(op)

    collected = []
    while ring.in_kernel:
        collected.append(ring.wait(COMPLETES_WITHIN_S, at_most=4))
        ring.dispatch()

    assert collected == [4, 4, 2]


def test_an_interrupted_wait_runs_the_signals_handler_and_is_an_empty_one(
    ring: StepRing, pair: Pair
) -> None:
    op = PollOnce(pair[0].fileno())
    ring.begin(op)
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not calls:
            assert ring.wait(None) == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert calls == [signal.SIGALRM]
    ring.cancel(op)
    drain(ring)


def test_what_a_signals_handler_raises_comes_out_of_the_wait(
    ring: StepRing, pair: Pair
) -> None:
    class Enough(Exception):
        pass

    def handler(*_: object) -> None:
        raise Enough

    op = PollOnce(pair[0].fileno())
    ring.begin(op)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Enough):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            while True:
                ring.wait(None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert ring.in_kernel == 1
    ring.cancel(op)
    drain(ring)


def test_a_wait_of_no_time_and_a_short_one_come_back_without_completions(
    ring: StepRing, pair: Pair
) -> None:
    op = PollOnce(pair[0].fileno())
    ring.begin(op)

    assert ring.wait(0) == 0
    assert ring.wait(0.001) == 0

    ring.cancel(op)
    drain(ring)
