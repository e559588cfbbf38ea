import sys
from collections.abc import Iterator

import pytest
from loops import OURS, or_skip


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> str:
    """The kind of loop whose outcomes are compared with asyncio's."""
    return or_skip(request.param)


@pytest.fixture(autouse=True)
def origin_tracking_ends(nothing_is_left: None) -> Iterator[None]:
    """On CPython 3.13.0 a row, run over all loops, leaves debug mode's tracking on."""
    depth = sys.get_coroutine_origin_tracking_depth()
    yield
    sys.set_coroutine_origin_tracking_depth(depth)
