import pytest
from loops import or_skip


@pytest.fixture
def needs_uring() -> None:
    or_skip("uring")
