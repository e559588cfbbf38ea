"""A part of what ``./run fuzz`` plays; and that it finds what it should."""

from typing import Any

import pytest
from loops import OURS, factory_of, or_skip

from .campaign import find
from .compare import difference, first_difference
from .log import Event
from .program import Act, Step, Where, program_of, script_of
from .shrink import shrunk

SEEDS_AT_A_TIME = 25


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, 50, SEEDS_AT_A_TIME))
@pytest.mark.parametrize("kind", OURS)
def test_random_programs_see_what_they_see_on_asyncio(kind: str, first: int) -> None:
    or_skip(kind)
    findings = [
        finding.details
        for seed in range(first, first + SEEDS_AT_A_TIME)
        for finding in find(seed, (kind,)).findings
    ]
    assert findings == []


def test_a_seed_always_makes_the_same_program() -> None:
    assert program_of(7) == program_of(7)
    assert program_of(7) != program_of(8)


def got(size: int) -> Event:
    return ("data_received", size, "callback")


MARK: Event = ("mark",)
NOW: Event = ("now", "5 bytes")


def test_over_io_uring_only_the_sum_of_the_bytes_counts_until_nothing_happens() -> None:
    expected = {"connection 0": [got(3), MARK, got(2), NOW]}

    def differs(*seen: Event) -> bool:
        traces = {"connection 0": list(seen)}
        return first_difference(expected, traces, "uring") is not None

    assert not differs(got(5), MARK, NOW)
    assert not differs(got(1), MARK, got(1), got(3), NOW)
    assert differs(got(3), MARK, NOW)
    assert differs(got(3), MARK, got(3), NOW)
    assert differs(MARK, got(5), NOW)
    assert (
        first_difference(expected, {"connection 0": [got(5), MARK, NOW]}, "epoll")
        is not None
    )


PROGRAM = (
    Step(Where.OUTSIDE, (Act("open", ("unix", "plain", True, ())),)),
    Step(Where.OUTSIDE, (Act("send", (0, 10)), Act("pause_reading", (0,)))),
    Step(Where.CALLBACK, (Act("write", (0, 500, "bytes")),)),
)


def test_a_loop_that_differs_is_found_and_the_program_is_shrunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop whose transports swallow what is written."""
    real = factory_of

    def swallowing() -> Any:
        loop: Any = real("epoll")()
        make = loop._new_transport

        def new_transport(stream: Any) -> Any:
            transport = make(stream)
            transport.write = lambda data: None
            return transport

        loop._new_transport = new_transport
        return loop

    monkeypatch.setattr(
        "fuzz.world.factory_of",
        lambda kind: swallowing if kind == "epoll" else real(kind),
    )
    found = difference(PROGRAM, "epoll")
    assert found is not None

    program = shrunk(PROGRAM, lambda program: difference(program, "epoll") is not None)
    assert [act.verb for step in program for act in step.acts] == ["open", "write"]
    assert "callback(do.write(0, 1, 'bytes'))" in script_of(program, "epoll")
