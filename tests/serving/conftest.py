"""What the tests of the adaptive server need of this machine."""

import pytest

import aioadapt


@pytest.fixture(autouse=True)
def both_engines() -> None:
    support = aioadapt.uring_support()
    if not support.available:
        pytest.skip(f"no io_uring here: {support.reason}")
