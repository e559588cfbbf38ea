"""Reports are reaped, then dispatched; watches unregistered in between are skipped."""

import contextlib
import gc
import os
import signal
import socket
import weakref
from collections.abc import Iterator

import pytest

from aioadapt._testing.stepping import READABLE, WRITABLE, StepPoller, StepWatch

from .conftest import COMPLETES_WITHIN_S, Pair


def reaped_both(
    poller: StepPoller, pair: Pair, *, hung_up: bool = False
) -> tuple[StepWatch, StepWatch]:
    """Two watches whose reports have been reaped but not dispatched."""
    ours, peer = pair
    watches = StepWatch(ours.fileno()), StepWatch(peer.fileno())
    ours.send(b"x")
    peer.send(b"x")
    if hung_up:
        for sock in pair:
            sock.shutdown(socket.SHUT_RDWR)
    for watch in watches:
        poller.watch(watch, READABLE)
    assert poller.wait(COMPLETES_WITHIN_S) == 2
    return watches


@pytest.mark.parametrize("hung_up", [False, True])
def test_a_watch_that_an_earlier_report_unregistered_is_skipped(
    poller: StepPoller, pair: Pair, hung_up: bool
) -> None:
    """Also for EPOLLHUP, which epoll reports whether or not it was asked for."""
    watches = reaped_both(poller, pair, hung_up=hung_up)

    def unregister_both(*_: object) -> None:
        for watch in watches:
            poller.unregister(watch)

    for watch in watches:
        watch.on_ready = unregister_both
    poller.dispatch()

    assert sum(len(watch.reports) for watch in watches) == 1


def test_a_watch_whose_descriptor_an_earlier_report_closed_is_skipped(
    poller: StepPoller, pair: Pair
) -> None:
    watches = reaped_both(poller, pair)

    def close_both(*_: object) -> None:
        for watch, sock in zip(watches, pair, strict=True):
            poller.unregister(watch)
            sock.close()

    for watch in watches:
        watch.on_ready = close_both
    poller.dispatch()

    assert sum(len(watch.reports) for watch in watches) == 1


def test_a_report_never_reaches_the_one_who_got_the_number_next(
    poller: StepPoller, pair: Pair
) -> None:
    """The first report's callback closes the second's descriptor; the next file
    opened gets its number and is watched, but has nothing to read."""
    ours, peer = pair
    watches = reaped_both(poller, pair)
    replaced: list[tuple[StepWatch, list[int]]] = []

    def replace(which: StepWatch, _: int) -> None:
        other = watches[0] if which is watches[1] else watches[1]
        poller.unregister(other)
        (ours if other.fd == ours.fileno() else peer).detach()
        reading, writing = os.pipe()
        os.dup2(reading, other.fd)
        new = StepWatch(other.fd)
        poller.watch(new, READABLE)
        replaced.append((new, [reading, writing, other.fd]))

    for watch in watches:
        watch.on_ready = replace
    poller.dispatch()

    ((new, fds),) = replaced
    assert new.reports == []
    assert sum(len(watch.reports) for watch in watches) == 1
    for watch in (new, *watches):
        poller.unregister(watch)
    for fd in fds:
        os.close(fd)


def test_a_watch_that_wants_something_else_by_now_is_not_told(
    poller: StepPoller, pair: Pair
) -> None:
    watches = reaped_both(poller, pair)

    def lose_interest(*_: object) -> None:
        for watch in watches:
            poller.watch(watch, WRITABLE)

    for watch in watches:
        watch.on_ready = lose_interest
    poller.dispatch()

    assert sum(len(watch.reports) for watch in watches) == 1
    for watch in watches:
        poller.unregister(watch)


def test_what_is_left_unread_is_reported_again(poller: StepPoller, pair: Pair) -> None:
    ours, peer = pair
    watch = StepWatch(ours.fileno())
    poller.watch(watch, READABLE)
    peer.send(b"xyz")

    for _ in range(3):
        assert poller.wait(COMPLETES_WITHIN_S) == 1
        poller.dispatch()
    ours.recv(3)

    assert poller.wait(0) == 0
    assert watch.reports == [READABLE] * 3
    poller.unregister(watch)


def test_no_interest_is_to_be_unregistered(poller: StepPoller, pair: Pair) -> None:
    ours, peer = pair
    watch = StepWatch(ours.fileno())
    poller.watch(watch, READABLE)
    poller.watch(watch, 0)
    assert poller.watched == 0

    peer.close()

    assert poller.wait(0) == 0, "even a hang-up is nobody's business then"


def test_unregistering_twice_is_harmless(poller: StepPoller, pair: Pair) -> None:
    watch = StepWatch(pair[0].fileno())
    poller.watch(watch, READABLE)
    poller.unregister(watch)
    poller.unregister(watch)

    assert poller.watched == 0


def test_a_registration_keeps_its_watch_alive(poller: StepPoller, pair: Pair) -> None:
    watch: StepWatch | None = StepWatch(pair[0].fileno())
    assert watch is not None
    alive = weakref.ref(watch)
    poller.watch(watch, READABLE)
    pair[1].send(b"x")
    watch = None
    gc.collect()
    poller.wait(COMPLETES_WITHIN_S)
    poller.dispatch()

    watch = alive()
    assert watch is not None
    assert watch.reports == [READABLE]
    poller.unregister(watch)
    watch = None
    assert alive() is None


def test_a_reaped_report_keeps_an_unregistered_watch_alive(
    poller: StepPoller, pair: Pair
) -> None:
    watch: StepWatch | None = StepWatch(pair[0].fileno())
    assert watch is not None
    alive = weakref.ref(watch)
    poller.watch(watch, READABLE)
    pair[1].send(b"x")
    poller.wait(COMPLETES_WITHIN_S)
    poller.unregister(watch)
    watch = None
    assert alive() is not None

    poller.dispatch()

    assert alive() is None


def test_unregistering_after_closing_is_too_late_where_there_is_a_duplicate(
    poller: StepPoller, pair: Pair
) -> None:
    """The registration belongs to the file that both numbers refer to: epoll keeps
    reporting, and the closed number can no longer be used to stop it.  So a
    descriptor is unregistered before it is closed."""
    ours, peer = pair
    duplicate = os.dup(ours.fileno())
    watch = StepWatch(ours.fileno())
    poller.watch(watch, READABLE)

    ours.close()
    peer.send(b"x")

    assert poller.wait(COMPLETES_WITHIN_S) == 1, "it is still watched"
    poller.dispatch()
    os.dup2(duplicate, watch.fd)
    poller.unregister(watch)
    os.close(watch.fd)
    os.close(duplicate)


def test_unregistering_before_closing_leaves_a_duplicate_in_peace(
    poller: StepPoller, pair: Pair
) -> None:
    ours, peer = pair
    duplicate = os.dup(ours.fileno())
    watch = StepWatch(ours.fileno())
    poller.watch(watch, READABLE)

    poller.unregister(watch)
    ours.close()
    peer.send(b"x")

    assert poller.wait(0) == 0
    assert os.read(duplicate, 10) == b"x"
    os.close(duplicate)


def test_closed_behind_its_back_a_watch_can_still_be_unregistered(
    poller: StepPoller, pair: Pair
) -> None:
    watch = StepWatch(pair[0].fileno())
    poller.watch(watch, READABLE)
    pair[0].close()

    poller.unregister(watch)

    assert poller.watched == 0


def test_what_cannot_be_watched_is_refused(poller: StepPoller) -> None:
    with open(__file__) as regular:
        with pytest.raises(PermissionError):
            poller.watch(StepWatch(regular.fileno()), READABLE)
        number = regular.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        poller.watch(StepWatch(number), READABLE)

    assert poller.watched == 0


def test_what_a_report_raises_leaves_the_rest_to_be_run(
    poller: StepPoller, pair: Pair
) -> None:
    watches = reaped_both(poller, pair)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for watch in watches:
        watch.on_ready = interrupt
    for _ in watches:
        with pytest.raises(KeyboardInterrupt):
            poller.dispatch()
    assert poller.dispatch_next() is False

    assert [len(watch.reports) for watch in watches] == [1, 1]
    for watch in watches:
        poller.unregister(watch)


def test_an_interrupted_wait_runs_the_signals_handler_and_is_an_empty_one(
    poller: StepPoller,
) -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not calls:
            assert poller.wait(None) == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert calls == [signal.SIGALRM]


def test_more_reports_than_fit_into_one_wait_come_in_the_next_ones(
    poller: StepPoller,
) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    watches = []
    for ours, peer in pairs:
        peer.send(b"x")
        watches.append(StepWatch(ours.fileno()))
        poller.watch(watches[-1], READABLE)

    for _ in range(3):
        assert poller.wait(COMPLETES_WITHIN_S, at_most=8) == 8
        poller.dispatch()

    assert {len(watch.reports) for watch in watches} <= {1, 2}, "nobody starves"
    for watch, (ours, peer) in zip(watches, pairs, strict=True):
        poller.unregister(watch)
        ours.close()
        peer.close()


def test_a_watch_that_was_unregistered_too_late_is_freed_and_not_told(
    poller: StepPoller, pair: Pair
) -> None:
    """A duplicate keeps the registration, so epoll keeps reporting it.  What it
    reports is no address, so another object may be allocated there."""
    ours, peer = pair
    duplicate = os.dup(ours.fileno())
    watch: StepWatch | None = StepWatch(ours.fileno())
    assert watch is not None
    alive = weakref.ref(watch)
    poller.watch(watch, READABLE)

    ours.close()
    poller.unregister(watch)
    watch = None

    assert alive() is None
    peer.send(b"x")
    assert poller.wait(COMPLETES_WITHIN_S) == 0
    os.close(duplicate)


def test_a_report_of_a_closed_file_does_not_reach_the_next_watch_of_its_number(
    poller: StepPoller, pair: Pair
) -> None:
    ours, peer = pair
    duplicate = os.dup(ours.fileno())
    old = StepWatch(ours.fileno())
    poller.watch(old, READABLE)
    with instead_of(ours) as idle:
        poller.unregister(old)
        new = StepWatch(idle)
        poller.watch(new, READABLE)
        peer.send(b"x")

        assert poller.wait(COMPLETES_WITHIN_S) == 0
        assert (old.reports, new.reports) == ([], [])
        poller.unregister(new)
    os.close(duplicate)


@contextlib.contextmanager
def instead_of(sock: socket.socket) -> Iterator[int]:
    """Close the socket; the number is another file's, which has nothing to read."""
    fd = sock.detach()
    reading, writing = os.pipe()
    os.dup2(reading, fd)
    os.close(reading)
    yield fd
    os.close(fd)
    os.close(writing)


def test_who_was_closed_unwatched_leaves_the_next_of_its_number_alone(
    poller: StepPoller, pair: Pair
) -> None:
    old = StepWatch(pair[0].fileno())
    poller.watch(old, READABLE)
    with instead_of(pair[0]) as number:
        new = StepWatch(number)
        poller.watch(new, READABLE)

        with pytest.raises(FileNotFoundError):
            poller.watch(old, READABLE | WRITABLE)
        poller.unregister(old)
        reading, writing = os.pipe()
        os.dup2(reading, number)
        os.write(writing, b"x")

        assert poller.watched == 1
        poller.unregister(new)
        poller.watch(new, READABLE)
        assert poller.wait(COMPLETES_WITHIN_S) == 1
        poller.dispatch()
        assert (old.reports, new.reports) == ([], [READABLE])
        poller.unregister(new)
        os.close(reading)
        os.close(writing)


def test_two_can_watch_one_descriptor(poller: StepPoller, pair: Pair) -> None:
    """epoll has one registration for both; each watch gets the events it asked for."""
    ours, peer = pair
    first, second = StepWatch(ours.fileno()), StepWatch(ours.fileno())
    poller.watch(first, WRITABLE)
    poller.watch(second, READABLE)
    peer.send(b"x")

    assert poller.wait(COMPLETES_WITHIN_S) == 2
    poller.dispatch()
    assert (first.reports, second.reports) == ([WRITABLE], [READABLE])

    poller.watch(second, READABLE | WRITABLE)
    poller.unregister(first)
    assert poller.wait(COMPLETES_WITHIN_S) == 1
    poller.dispatch()
    assert (first.reports, second.reports[1:]) == ([WRITABLE], [READABLE | WRITABLE])

    poller.unregister(second)
    assert poller.wait() == 0
    poller.watch(second, READABLE)
    poller.watch(first, READABLE)
    assert poller.wait(COMPLETES_WITHIN_S) == 2
    poller.dispatch()
    assert (first.reports[1:], second.reports[2:]) == ([READABLE], [READABLE])
    poller.unregister(first)
    poller.unregister(second)


def test_what_one_of_two_raises_leaves_the_other_to_be_told_again(
    poller: StepPoller, pair: Pair
) -> None:
    ours, peer = pair
    other, other_peer = socket.socketpair()
    first = StepWatch(ours.fileno())
    beside = StepWatch(ours.fileno()), StepWatch(other.fileno())
    watches = (first, StepWatch(other.fileno()), *beside)
    for watch in watches:
        poller.watch(watch, READABLE)

    def give_up(*_: object) -> None:
        raise KeyboardInterrupt

    for watch in beside:
        watch.on_ready = give_up
    peer.send(b"x")
    other_peer.send(b"x")
    for _ in range(4):
        assert poller.wait(COMPLETES_WITHIN_S) == 3
        for _ in range(3):
            with contextlib.suppress(KeyboardInterrupt):
                poller.dispatch()

    told = [len(watch.reports) for watch in beside]
    assert sum(told) == 4
    beside[0].on_ready = beside[1].on_ready = None
    poller.wait(COMPLETES_WITHIN_S)
    poller.dispatch()
    assert [len(watch.reports) for watch in beside] == [told[0] + 1, told[1] + 1]
    for watch in watches:
        poller.unregister(watch)
    other.close()
    other_peer.close()
