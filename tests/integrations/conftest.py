"""The line that the page gives for a test's consumer, and the engines it is run on."""

import pytest
from integrations.consumers import line_of
from loops import Missing, factory_of


@pytest.fixture
def line(request: pytest.FixtureRequest) -> str:
    """Of the ``@pytest.mark.consumer("name")`` that is nearest to the test."""
    mark = request.node.get_closest_marker("consumer")
    assert mark is not None, "name the consumer: @pytest.mark.consumer(...)"
    return line_of(mark.args[0])


@pytest.fixture(params=["epoll", "uring"])
def engine(request: pytest.FixtureRequest) -> str:
    """What ``$AIOADAPT_ENGINE`` is set to."""
    engine: str = request.param
    try:
        factory_of(engine)
    except Missing as missing:
        pytest.skip(missing.reason)
    return engine


@pytest.fixture
def engine_class(engine: str) -> str:
    """The name of the class of the loops that the engine gives."""
    return {"epoll": "EpollEventLoop", "uring": "UringEventLoop"}[engine]
