import pytest
from loops import OURS, or_skip


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> str:
    """The loop whose answers are compared with asyncio's."""
    return or_skip(request.param)
