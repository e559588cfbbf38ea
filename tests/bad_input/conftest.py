import pytest
from loops import OURS, or_skip


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> str:
    """The kind of loop whose outcomes are compared with asyncio's."""
    return or_skip(request.param)
