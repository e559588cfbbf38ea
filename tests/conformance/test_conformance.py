"""CPython's own asyncio tests on our loops.

Each module of ``test.test_asyncio`` is one test here for each engine.  It fails
with a list of CPython's tests that failed unexpectedly, of those that passed
although they are expected to fail, and of classes in which none of our loops was
created: those say nothing about our loops.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loops import or_skip

from .expected import (
    ENGINES,
    EXPECTED,
    MOST,
    WITHOUT_CONNECTIONS,
    expected_in,
)
from .processes import Result, look_again, run_module
from .selection import LEFT_OUT, PACKAGE, modules

MODULES = modules()

each_engine = pytest.mark.parametrize("engine", ENGINES)

needs_cpythons_tests = pytest.mark.skipif(
    not MODULES,
    reason=f"this Python comes without {PACKAGE}: some distributions have it in a "
    "package of its own (Debian: libpython3-testsuite)",
)


@pytest.fixture(autouse=True)
def engine_is_to_be_had(request: pytest.FixtureRequest) -> None:
    if "engine" in request.fixturenames:
        or_skip(request.getfixturevalue("engine"))


# Without connections the engines differ only in how they wait: ./run soak has the rest.
RUNS = [
    pytest.param(
        engine,
        module,
        marks=[pytest.mark.soak]
        if engine == "adaptive" or (engine != "epoll" and module in WITHOUT_CONNECTIONS)
        else [],
    )
    for engine in ENGINES
    for module in MODULES or ["none"]
    if engine != "swapping" or module not in WITHOUT_CONNECTIONS
]


@needs_cpythons_tests
@pytest.mark.parametrize(("engine", "module"), RUNS)
@pytest.mark.timeout(600)  # the longest takes ten seconds on an idle machine
def test_cpythons_tests_pass(engine: str, module: str) -> None:
    expected = expected_in(module)
    results = look_again(engine, module, run_module(engine, module), expected)

    complaints = [*failures(results, expected), *strangers(results)]
    assert results, f"no test of {module} was run"
    assert not complaints, "\n".join(complaints)


def failures(results: list[Result], expected: dict[str, str]) -> Iterator[str]:
    failed = {result.test: result for result in results if result.outcome == "failed"}
    for test in failed.keys() - expected.keys():
        yield f"--- {test} failed:\n{failed[test].text}"
    for test in expected.keys() - failed.keys():
        yield f"--- {test} passed, or is gone: take it from expected.py"


def strangers(results: list[Result]) -> Iterator[str]:
    """Classes that were run without creating any of our loops."""
    ours: dict[str, int] = {}
    for result in results:
        if result.outcome not in ("skipped", "fails over asyncio too"):
            ours[result.of_class] = ours.get(result.of_class, 0) + result.ours
    for of_class, count in ours.items():
        if count == 0:
            yield f"--- no loop of ours was made in {of_class}: say so in LEFT_OUT"


@needs_cpythons_tests
@each_engine
def test_every_way_to_come_by_a_loop_leads_to_ours(engine: str) -> None:
    results = run_module(engine, "conformance.ways")

    ran = [result for result in results if result.outcome != "skipped"]
    assert [result.text for result in ran if result.outcome != "passed"] == []
    assert len(ran) >= 10
    for result in ran:
        assert result.ours > 0
        assert result.others == 0


@needs_cpythons_tests
def test_whatever_becomes_of_a_test_is_seen() -> None:
    """It passes, fails, is skipped, crashes its process, or its class set-up fails."""
    results = run_module("epoll", "conformance.faulty")

    assert {result.test: result.outcome for result in results} == {
        "Faulty.test_a_passes": "passed",
        "Faulty.test_b_fails": "failed",
        "Faulty.test_c_fails_in_a_subtest": "failed",
        "Faulty.test_d_is_skipped": "skipped",
        "Faulty.test_e_ends_the_process": "failed",
        "Faulty.test_f_runs_another_loop": "passed",
        "setUpClass (conformance.faulty.NotSetUp)": "failed",
    }
    by_name = {result.test: result for result in results}
    assert "ended with 7" in by_name["Faulty.test_e_ends_the_process"].text
    passed = by_name["Faulty.test_a_passes"]
    assert (passed.ours, passed.others) == (2, 0)  # created, and run
    assert by_name["Faulty.test_f_runs_another_loop"].others == 1


def test_what_is_wrong_with_the_results_is_said() -> None:
    results = [
        Result("Ours.test_one", "passed", ours=2),
        Result("Ours.test_two", "failed", "the traceback", ours=2),
        Result("Ours.test_three", "failed", ours=2),
        Result("Strange.test_four", "passed", others=1),
        Result("Skipped.test_five", "skipped"),
    ]

    said = [*failures(results, {"Ours.test_three": "", "Ours.test_one": ""})]
    assert said == [
        "--- Ours.test_two failed:\nthe traceback",
        "--- Ours.test_one passed, or is gone: take it from expected.py",
    ]
    (strange,) = strangers(results)
    assert "Strange" in strange


@needs_cpythons_tests
def test_a_failure_is_looked_at_again() -> None:
    """Failing only once does not count; failing on asyncio's loop, too, is not ours."""
    results = [
        Result("Faulty.test_a_passes", "failed"),
        Result("Faulty.test_b_fails", "failed"),
    ]

    again = look_again("epoll", "conformance.faulty", results, expected=())

    assert [result.outcome for result in again] == ["passed", "fails over asyncio too"]
    kept = look_again("epoll", "conformance.faulty", results, ["Faulty.test_a_passes"])
    assert kept[0] is results[0]


def test_the_list_of_expected_failures_is_short() -> None:
    assert len(EXPECTED) <= MOST
    for expected in EXPECTED:
        assert expected.reason
        assert expected.module not in LEFT_OUT
