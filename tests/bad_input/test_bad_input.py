"""Bad input is refused as asyncio refuses it, and the loop keeps working.

Every row is run on asyncio's own loop and on ours, and ours must do the same:
the exception with its errno, its message and its cause, the calls of the
exception handler, and the warnings.  After each row the same loop has to echo
a byte over a real socket.
"""

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import pytest
from loops import factory_of

from . import loop_calls, loop_rows, other_rows, transport_rows
from .bench import Outcome, Row, outcome_of
from .odd import FOR_DEBUG, ODD, few

Rows = Callable[[], Iterable[Row]]

DELIBERATE = {
    "call_at(when: ": (
        "asyncio takes any object for a time, and its loop dies of the comparison "
        "in the next iteration, at every run; here the call raises that error"
    ),
}
"""Why our outcome differs on purpose, by the beginning of the rows' names."""


def stumbles(row: Row, theirs: Outcome) -> bool:
    """Is this a bug of asyncio's rather than a refusal?

    In some patch releases of 3.12 and 3.13 ``writelines`` calls an attribute that
    ``close`` has set to None, and fails; ours ignores the call, as ``write`` does.
    """
    return "writelines" in row.name and "'NoneType' object" in theirs.answer


def groups() -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for number, call in enumerate(loop_calls.CALLS):
        found[f"{number}-{call.method}"] = call.rows
    for number, call in enumerate(loop_calls.DEBUGGED):
        found[f"{number}-{call.method}-debug"] = partial(
            call.rows, FOR_DEBUG, debug=True
        )
    for state in transport_rows.STATES:
        found[f"transport {state}"] = partial(transport_rows.in_state, state)
    found["transport"] = partial(transport_rows.with_arguments, few(ODD))
    found["loop"] = lambda: loop_rows.ROWS
    found["disagreeing"] = loop_rows.disagreeing
    found["others"] = other_rows.in_states
    found["others' arguments"] = partial(other_rows.with_arguments, few(ODD))
    return found


def all_groups() -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for number, call in enumerate(loop_calls.CALLS):
        for debug in (False, True):
            found[f"{number}-{call.method}{'-debug' * debug}"] = partial(
                call.rows, ODD, debug=debug
            )
    found["transport"] = partial(transport_rows.with_arguments, ODD)
    found["others' arguments"] = partial(other_rows.with_arguments, ODD)
    return found


GROUPS, ALL_GROUPS = groups(), all_groups()


# Rows leave objects unclosed where asyncio does.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@lru_cache(maxsize=8)
def expected(rows: Rows) -> dict[str, Outcome]:
    depth = sys.get_coroutine_origin_tracking_depth()
    outcomes = {row.name: outcome_of("asyncio", row) for row in rows()}
    # In 3.13.0 asyncio cleans up after a run that it refuses on another thread, and then
    # not after the run in progress.
    sys.set_coroutine_origin_tracking_depth(depth)
    return outcomes


def compare(rows: Rows, kind: str) -> None:
    """Fails with all differences of a group at once."""
    wrong, stale = [], set(DELIBERATE)
    seen: set[str] = set()
    for row in rows():
        theirs, own = expected(rows)[row.name], outcome_of(kind, row)
        deliberate = [name for name in DELIBERATE if row.name.startswith(name)]
        seen.update(deliberate)
        if "waits for ever" in theirs.answer:
            wrong.append(f"{row.name}: asyncio waits for ever, which is no answer")
        if theirs == own or (stumbles(row, theirs) and own.lives == "echoes"):
            continue
        if deliberate and own.lives == "echoes":
            stale.difference_update(deliberate)
            continue
        wrong.append(f"{row.name}\n  asyncio: {theirs}\n  {kind}: {own}")
    wrong += [f"{name}...: asyncio does the same by now" for name in stale & seen]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_wrong_is_refused_as_asyncio_refuses_it(group: str, ours: str) -> None:
    compare(GROUPS[group], ours)


@pytest.mark.soak
@pytest.mark.parametrize("group", ALL_GROUPS)
def test_every_odd_value_in_every_place(group: str, ours: str) -> None:
    compare(ALL_GROUPS[group], ours)


def test_the_table_has_every_public_method_of_a_loop() -> None:
    """Fails if a new Python version adds a method."""
    loop = factory_of("asyncio")()
    public = {name for name in dir(loop) if not name.startswith("_")}
    loop.close()
    called = {call.method for call in loop_calls.CALLS}
    called |= {name.split()[0] for name in loop_rows.CLOSED}
    missing = public - called - loop_calls.COVERED_ELSEWHERE
    assert missing == set()
