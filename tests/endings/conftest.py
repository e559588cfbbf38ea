"""The first test starts the programs of all selected tests."""

from collections.abc import Iterator

import pytest
from loops import Missing, factory_of

from .running import Ends, Program


@pytest.fixture(scope="session")
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    ends = Ends()
    # A pytest-xdist worker collects every test but runs only some of them.
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
    """Not checked here: all tests of this folder share the pool's threads and pipes."""
