"""The programs of the tests that were chosen begin with the first of them."""

from collections.abc import Iterator

import pytest
from loops import Missing, factory_of

from .running import Ends, Program


@pytest.fixture(scope="session")
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    ends = Ends()
    # A worker of pytest-xdist sees every test, and runs a part of them.
    alone = not hasattr(request.config, "workerinput")
    for item in request.session.items if alone else ():
        given = item.callspec.params if hasattr(item, "callspec") else {}
        program = given.get("program")
        if isinstance(program, Program):
            for kind in ("asyncio", given["kind"]):
                if is_there(kind):
                    ends.begin(program, kind)
    yield ends
    ends.close()


def is_there(kind: str) -> bool:
    try:
        factory_of(kind)
    except Missing:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_is_left() -> None:
    """The pool's threads and pipes are there for all the tests of this room."""
