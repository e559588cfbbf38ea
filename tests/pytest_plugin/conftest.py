import pytest
from loops import Missing, factory_of


@pytest.fixture
def needs_uring() -> None:
    try:
        factory_of("uring")
    except Missing as missing:
        pytest.skip(missing.reason)
