"""The line that the page gives for a test's consumer."""

import pytest
from integrations.consumers import line_of


@pytest.fixture
def line(request: pytest.FixtureRequest) -> str:
    """Of the ``@pytest.mark.consumer("name")`` that is nearest to the test."""
    mark = request.node.get_closest_marker("consumer")
    assert mark is not None, "name the consumer: @pytest.mark.consumer(...)"
    return line_of(mark.args[0])
