"""A program ends as it does under asyncio: exit status, output, warnings, errors.

Each is a real process.  Its stderr is compared except for traceback frames and the
names of the loop and transport classes.
"""

import pytest
from loops import or_skip

from . import left_open, servers, signalled
from .running import Ends, Program

each_kind = pytest.mark.parametrize(
    "kind", ["epoll", "uring", pytest.param("adaptive", marks=pytest.mark.soak)]
)


def check(program: Program, kind: str, ends: Ends) -> None:
    assert ends.of(program, or_skip(kind)) == ends.of(program, "asyncio")


def named(programs: dict[str, Program]) -> list[object]:
    return [pytest.param(program, id=name) for name, program in programs.items()]


@each_kind
@pytest.mark.parametrize("program", named(signalled.PROGRAMS))
def test_a_signal_ends_it_as_under_asyncio(
    program: Program, kind: str, ends: Ends
) -> None:
    check(program, kind, ends)
    # It reached the point at which it gets the signal.
    expected = ends.of(program, "asyncio").out
    assert program.then[0][0] in expected


@each_kind
@pytest.mark.parametrize("program", named(left_open.PROGRAMS))
def test_a_loop_left_open_ends_as_under_asyncio(
    program: Program, kind: str, ends: Ends
) -> None:
    check(program, kind, ends)


@each_kind
@pytest.mark.parametrize("program", named(left_open.HELD_PROGRAMS))
def test_a_loop_that_the_interpreter_frees_at_its_exit_shows_warnings_at_most(
    program: Program, kind: str, ends: Ends
) -> None:
    """Not compared with asyncio, whose loop is freed later, when nothing is shown."""
    ended = ends.of(program, or_skip(kind))
    assert ended.status == 0
    shown = [line for line in ended.err.splitlines() if not line.startswith("task: ")]
    allowed = ["Task was destroyed but it is pending!"]
    if program.options:
        allowed += ["ResourceWarning: ", "source_traceback: "]
    assert [line for line in shown if not line.startswith(tuple(allowed))] == []


@each_kind
@pytest.mark.parametrize("program", named(servers.PROGRAMS))
def test_a_server_ends_as_under_asyncio(
    program: Program, kind: str, ends: Ends
) -> None:
    check(program, kind, ends)
    assert program.then[0][0] in ends.of(program, "asyncio").out


@pytest.mark.soak
@each_kind
@pytest.mark.parametrize("program", named(servers.MORE))
def test_a_server_ends_as_under_asyncio_by_every_signal(
    program: Program, kind: str, ends: Ends
) -> None:
    check(program, kind, ends)
