"""Other people's servers, started by the page's line, serve on our loops and end well."""

import shlex
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from integrations.consumers import line_of
from integrations.running import (
    AppClient,
    serving,
    through_a_websocket,
    trouble,
)
from programs import a_free_port

BODY = bytes(range(256)) * 1024

MESSAGES = [b"hello", bytes(100_000)]

SHUT_DOWN = "the application has shut down"


@dataclass(frozen=True)
class Server:
    """How to fill the gaps of a consumer's line, and what is its own in its end."""

    name: str
    options: str  # {port} in them
    listens: str  # what its log says then
    package: str  # without which it is skipped
    status: int = 0  # after SIGTERM; as with asyncio's loop
    app: str = "asgi_app:app"
    has_lifespan: bool = True

    def arguments(self, port: int) -> list[str]:
        line = line_of(self.name).replace("module:app", self.app)
        return shlex.split(f"{line} {self.options.format(port=port)}")


GUNICORN = "--bind 127.0.0.1:{port} --no-control-socket"

SERVERS = [
    Server(
        "uvicorn",
        "--port {port}",
        "Uvicorn running on",
        "uvicorn",
        # It ends its own handling of the signal by raising it again.
        status=-signal.SIGTERM,
    ),
    Server("gunicorn, uvicorn's worker", GUNICORN, "Listening at", "uvicorn_worker"),
    Server("gunicorn, its ASGI worker", GUNICORN, "Listening at", "gunicorn"),
    Server(
        "gunicorn, aiohttp's worker",
        GUNICORN,
        "Listening at",
        "gunicorn",
        app="aiohttp_app:app",
    ),
    Server("hypercorn", "--bind 127.0.0.1:{port}", "Running on", "hypercorn"),
    # Each of its workers listens by itself, a little later, without saying so.
    Server("granian", "--port {port}", "Started worker-1", "granian"),
    Server(
        "daphne",
        "--port {port}",
        "Listening on TCP address",
        "daphne",
        has_lifespan=False,  # it has none
    ),
]


@pytest.mark.consumer(
    "uvicorn",
    "gunicorn, uvicorn's worker",
    "gunicorn, its ASGI worker",
    "gunicorn, aiohttp's worker",
    "hypercorn",
    "granian",
    "daphne",
)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_serves_on_the_chosen_loop_and_ends_on_sigterm(
    server: Server, engine: str, engine_class: str, tmp_path: Path
) -> None:
    if find_spec(server.package) is None:
        pytest.skip(f"{server.package} is not installed")

    with (
        a_free_port() as port,
        serving(server.arguments(port), server.listens, engine, tmp_path) as running,
    ):
        with AppClient(port) as client:
            facts = client.facts()
            assert client.echo(BODY) == BODY
            assert client.facts() == facts
        assert through_a_websocket(port, MESSAGES) == MESSAGES
        assert facts["loop"] == engine_class
        assert facts["module"].startswith("aioadapt.")
        assert facts["started"] is server.has_lifespan

        status = running.end()

    log = running.log
    assert trouble(log) == [], log
    assert log.count(SHUT_DOWN) == server.has_lifespan, log
    assert status == server.status, log
