"""The kinds of connection that tests run over."""

import pytest

from .peers import Wire


@pytest.fixture(params=["tcp", "unix"])
def wire(request: pytest.FixtureRequest) -> Wire:
    wire: Wire = request.param
    return wire
