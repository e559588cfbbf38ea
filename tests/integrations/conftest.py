"""The page's line for a test's consumer, and real servers for clients."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from integrations.consumers import line_of
from integrations.postgresql import PostgreSQL, running_postgresql
from integrations.redis_server import RedisServer, running_redis
from loops import or_skip

import aioadapt


@pytest.fixture
def line(request: pytest.FixtureRequest) -> str:
    """The page's line for the test's closest ``@pytest.mark.consumer("name")``."""
    mark = request.node.get_closest_marker("consumer")
    assert mark is not None, "name the consumer: @pytest.mark.consumer(...)"
    return line_of(mark.args[0])


@pytest.fixture(params=["epoll", "uring"])
def engine(request: pytest.FixtureRequest) -> str:
    """The value for ``$AIOADAPT_ENGINE``."""
    return or_skip(request.param)


@pytest.fixture
def engine_class(engine: str) -> str:
    """The class name of that engine's loops."""
    return f"{engine.capitalize()}EventLoop"


@pytest.fixture
def follow(
    line: str, loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Evaluates the page's line unchanged, with the given names defined.

    The line names no engine: the environment selects the loop under test.
    """
    monkeypatch.setenv("AIOADAPT_ENGINE", loop_kind)

    def follow(**names: Any) -> Any:
        return eval(line, {"aioadapt": aioadapt, **names})

    return follow


# Each server is started once, for the first test that uses it.


@pytest.fixture(scope="session")
def postgresql(authority: trustme.CA) -> Iterator[PostgreSQL]:
    with running_postgresql(authority) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(authority: trustme.CA) -> Iterator[RedisServer]:
    with running_redis(authority) as server:
        yield server
