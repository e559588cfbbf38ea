"""The timer heap, checked against a simple model."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loops import LoopFactory

pytestmark = pytest.mark.ours_only

# Few distinct times, so that many timers are due at once; some never fire.
TIMES_S = st.sampled_from([-1.0, 0.0, 0.0, 1e-4, 2e-4, 1e6, 1e7])


def is_scheduled(handle: asyncio.TimerHandle) -> bool:
    return bool(handle._scheduled)  # type: ignore[attr-defined]


@dataclass
class Model:
    """Adds and cancels timers, and knows which may run when."""

    loop: asyncio.AbstractEventLoop
    start_s: float
    ran: list[int] = field(default_factory=list)
    expected: dict[int, tuple[float, int]] = field(default_factory=dict)
    handles: dict[int, asyncio.TimerHandle] = field(default_factory=dict)

    def add(self, after_s: float) -> None:
        number = len(self.handles)
        when = self.start_s + after_s
        self.expected[number] = (when, number)
        self.handles[number] = self.loop.call_at(when, self.ran.append, number)

    def cancel(self, which: int) -> None:
        if self.handles:
            number = which % len(self.handles)
            self.handles[number].cancel()
            self.expected.pop(number, None)

    def run_iteration(self) -> None:
        """Run one iteration: due timers must run in the order of (when, insertion)."""
        before = len(self.ran)
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        now_s = self.loop.time()
        ran = self.ran[before:]
        due = [self.expected.pop(number) for number in ran]
        assert due == sorted(due)
        assert all(when <= now_s for when, _ in due)
        # Every timer due before one that ran has run as well.
        if due:
            assert all(other > due[-1] for other in self.expected.values())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), TIMES_S),
        st.tuples(st.just("add"), TIMES_S),
        st.tuples(st.just("cancel"), st.integers(0, 1000)),
        st.tuples(st.just("iteration"), st.none()),
    ),
    max_size=60,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_timers_run_in_the_order_of_their_times_whatever_is_cancelled(
    loop_factory: LoopFactory, steps: list[tuple[str, Any]]
) -> None:
    loop = loop_factory()
    try:
        model = Model(loop, loop.time())
        for what, argument in steps:
            if what == "iteration":
                model.run_iteration()
            else:
                getattr(model, what)(argument)
        while any(when <= loop.time() for when, _ in model.expected.values()):
            model.run_iteration()
        for number in model.expected:
            assert not model.handles[number].cancelled()
    finally:
        loop.close()


def test_a_cancelled_timer_leaves_the_heap_at_once(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """A server sets and cancels a keep-alive timer for every request."""
    loop.set_debug(False)  # in debug mode asyncio's own timers stay until due
    for _ in range(1000):
        loop.call_later(1e6, print).cancel()
    keep = loop.call_later(1e6, print)
    cancelled = loop.call_later(1e6, print)
    assert is_scheduled(cancelled)
    cancelled.cancel()

    assert not is_scheduled(cancelled)
    assert is_scheduled(keep)


def test_ten_thousand_timers_come_out_sorted(loop: asyncio.AbstractEventLoop) -> None:
    at_random = random.Random(1)
    start = loop.time() - 100
    times = [start + at_random.choice([0.5, at_random.random()]) for _ in range(10_000)]
    ran: list[tuple[float, int]] = []
    for number, when in enumerate(times):
        loop.call_at(when, ran.append, (when, number))
    loop.call_soon(loop.stop)
    loop.run_forever()

    assert len(ran) == 10_000
    assert ran == sorted(ran)


def test_closing_drops_timers_that_cancel_each_other_when_they_are_dropped(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Their destructors run while the heap is being emptied."""
    handles: list[asyncio.TimerHandle] = []

    class CancelsAll:
        def __call__(self) -> None:
            raise AssertionError("never due")

        def __del__(self) -> None:
            for handle in handles:
                handle.cancel()

    handles.extend(loop.call_later(1e6, CancelsAll()) for _ in range(100))

    loop.close()

    assert not any(is_scheduled(handle) for handle in handles)
