"""A cancel is only a request: an operation ends with its own last completion."""

import errno
import select
import socket

import pytest

from aioadapt._testing.stepping import (
    Completion,
    PollOnce,
    RecvInto,
    RecvMultishot,
    SendBytes,
    StepRing,
)

from .conftest import COMPLETES_WITHIN_S, Pair, drain

DEFER_TASKRUN = 1 << 13
CANCELS_AT_MOST = 8
CANCELLED = Completion(-errno.ECANCELED, last=True)


def nothing_to_read(sock: socket.socket) -> bool:
    readable, _, _ = select.select([sock], [], [], 0)
    return not readable


def test_a_cancelled_recv_still_hands_over_bytes_whose_completion_was_waiting(
    ring: StepRing, pair: Pair
) -> None:
    """The completion is on the ring, not yet reaped, when the cancel is submitted:
    the cancel is too late, and the bytes have already left the socket."""
    ours, peer = pair
    op = RecvInto(ours.fileno(), 64)
    ring.begin(op)
    peer.send(b"GET / HT")
    ring.enter(COMPLETES_WITHIN_S)

    ring.cancel(op)
    drain(ring)

    assert op.completions == [Completion(8, last=True, data=b"GET / HT")]
    assert nothing_to_read(ours)


def test_a_multishot_recv_still_hands_over_what_was_waiting_when_it_was_cancelled(
    ring: StepRing, pair: Pair
) -> None:
    """The bytes come first, with MORE; the last completion is ECANCELED."""
    ours, peer = pair
    op = RecvMultishot(ours.fileno(), ring)
    ring.begin(op)
    peer.send(b"GET / HT")
    ring.enter(COMPLETES_WITHIN_S)

    ring.cancel(op)
    drain(ring)

    assert op.completions == [Completion(8, last=False, data=b"GET / HT"), CANCELLED]
    assert nothing_to_read(ours)


def test_a_cancel_that_comes_before_the_bytes_leaves_them_in_the_socket(
    ring: StepRing, pair: Pair
) -> None:
    ours, peer = pair
    op = RecvInto(ours.fileno(), 64)
    ring.begin(op)
    ring.enter()

    ring.cancel(op)
    drain(ring)
    peer.send(b"GET / HT")

    assert op.completions == [CANCELLED]
    assert ours.recv(64) == b"GET / HT"


@pytest.mark.parametrize("kind", [RecvInto, RecvMultishot])
def test_bytes_that_arrive_before_the_cancel_is_submitted_are_in_one_place_only(
    ring: StepRing, pair: Pair, kind: type[RecvInto] | type[RecvMultishot]
) -> None:
    """With DEFER_TASKRUN the recv has not run yet and the bytes stay in the
    socket; without it, the recv has run and the completion has them."""
    ours, peer = pair
    for round_ in range(50):
        op: RecvInto | RecvMultishot
        if kind is RecvInto:
            op = RecvInto(ours.fileno(), 64)
        else:
            op = RecvMultishot(ours.fileno(), ring)
        ring.begin(op)
        ring.enter()
        words = b"request %d" % round_
        peer.send(words)

        ring.cancel(op)
        drain(ring)

        in_socket = b"" if nothing_to_read(ours) else ours.recv(64)
        assert op.received + in_socket == words
        if ring.setup_flags & DEFER_TASKRUN:
            assert in_socket == words


def test_a_cancel_that_misses_is_harmless(ring: StepRing, pair: Pair) -> None:
    """The operation has finished but its completion has not been reaped:
    the cancel finds nothing, is repeated, and finds nothing again."""
    ours, peer = pair
    op = PollOnce(ours.fileno())
    peer.send(b"x")
    ring.begin(op)
    ring.enter(COMPLETES_WITHIN_S)
    ring.cancel(op)
    drain(ring)

    assert [completion.last for completion in op.completions] == [True]
    assert op.is_idle

    ring.begin(op)
    drain(ring)
    assert len(op.completions) == 2, "it can be begun again"


def test_a_cancel_that_misses_is_asked_again_a_few_times_in_each_use(
    ring: StepRing, pair: Pair
) -> None:
    """A cancel that keeps missing must not keep the loop busy."""
    ours, _ = pair
    op = PollOnce(ours.fileno())
    for _ in range(2):
        ring.begin(op)
        ring.cancel(op)
        for _ in range(20):
            ring.cancel_answered(op, -errno.EALREADY)
        assert ring.cancels_in_flight == 1 + CANCELS_AT_MOST
        drain(ring)

    ring.begin(op)
    ring.cancel(op)
    ring.cancel_answered(op, 0)
    assert ring.cancels_in_flight == 1, "it has found the operation"
    drain(ring)


def test_cancelling_what_is_idle_or_being_cancelled_asks_for_nothing(
    ring: StepRing, pair: Pair
) -> None:
    op = PollOnce(pair[0].fileno())
    ring.cancel(op)
    assert (ring.cancels, ring.in_kernel, ring.cancels_in_flight) == (0, 0, 0)

    ring.begin(op)
    ring.cancel(op)
    ring.cancel(op)
    assert ring.cancels == 1
    drain(ring)

    assert op.completions == [CANCELLED]


def test_an_operation_that_the_kernel_has_cannot_be_begun_again(
    ring: StepRing, pair: Pair
) -> None:
    op = PollOnce(pair[0].fileno())
    ring.begin(op)

    with pytest.raises(RuntimeError, match=r"PollOnce fd=\d+: in the kernel"):
        ring.begin(op)
    assert ring.in_kernel == 1

    ring.cancel(op)
    with pytest.raises(RuntimeError, match="cancel requested"):
        ring.begin(op)
    drain(ring)


def test_a_callback_cancels_what_finished_in_the_same_batch(
    ring: StepRing, pair: Pair
) -> None:
    """Both completions were reaped before the first was dispatched: the second is
    an ordinary finished operation and has its bytes."""
    ours, peer = pair
    first, second = RecvInto(ours.fileno(), 64), RecvInto(peer.fileno(), 64)
    peer.send(b"to ours")
    ours.send(b"to the peer")
    ring.begin(first)
    ring.begin(second)
    ring.enter(COMPLETES_WITHIN_S)
    first.on_completed = lambda *_: ring.cancel(second)

    assert ring.reap() == 2
    ring.dispatch()
    drain(ring)

    assert first.received == b"to ours"
    assert second.completions == [Completion(11, last=True, data=b"to the peer")]


def test_a_cancelled_send_tells_how_much_has_left(ring: StepRing) -> None:
    """The send waits for room; the count it reports is what the peer has received."""
    ours, peer = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with ours, peer:
        ours.setblocking(False)
        try:
            while True:
                ours.send(b"-" * 1024)
        except BlockingIOError:
            pass
        op = SendBytes(ours.fileno(), b"x" * 100_000)
        ring.begin(op)
        ring.enter()

        ring.cancel(op)
        drain(ring)
        ours.shutdown(socket.SHUT_WR)

        got = b""
        while more := peer.recv(1 << 20):
            got += more
        (completion,) = op.completions
        assert got.count(b"x") == max(completion.result, 0)


def test_finish_cancels_runs_what_is_being_cancelled_before_everything_else(
    ring: StepRing, pair: Pair
) -> None:
    ours, peer = pair
    order: list[str] = []
    other, leaving = RecvInto(ours.fileno(), 64), RecvMultishot(peer.fileno(), ring)
    other.on_completed = lambda *_: order.append("other")
    leaving.on_completed = lambda *_: order.append("leaving")
    ring.begin(other)
    ring.begin(leaving)
    ring.enter()
    peer.send(b"for the other")
    ours.send(b"taken in time")
    ring.enter(COMPLETES_WITHIN_S)
    ring.cancel(leaving)

    ring.finish_cancels()

    assert order == ["leaving", "leaving"]
    assert leaving.completions == [
        Completion(13, last=False, data=b"taken in time"),
        CANCELLED,
    ]
    ring.dispatch()
    drain(ring)
    assert other.received == b"for the other"


def test_a_cancel_after_the_last_completion_was_collected_asks_the_kernel_nothing(
    ring: StepRing, pair: Pair
) -> None:
    """No last completion would ever answer such a cancel, and every later iteration
    would wait for one."""
    ours, peer = pair
    op = RecvInto(ours.fileno(), 64)
    ring.begin(op)
    peer.send(b"GET / HT")
    assert ring.wait(COMPLETES_WITHIN_S) == 1

    ring.cancel(op)
    ring.dispatch()

    assert op.completions == [Completion(8, last=True, data=b"GET / HT")]
    assert (ring.cancels, ring.cancels_in_flight, ring.in_kernel) == (0, 0, 0)
    assert ring.wait(0) == 0
