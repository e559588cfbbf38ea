"""Third-party servers, started with the page's line, serve on our loops and exit."""

import itertools
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from integrations.running import (
    AppClient,
    Command,
    check_end,
    serving,
    through_a_websocket,
)
from programs import a_free_port

BODY = bytes(range(256)) * 1024

MESSAGES = [b"hello", bytes(100_000)]


@dataclass(frozen=True, kw_only=True)
class Server(Command):
    """A command, and how that server's start and exit look."""

    listens: str  # its log message for this
    status: int = 0  # after SIGTERM; as with asyncio's loop
    has_lifespan: bool = True


GUNICORN = "--bind 127.0.0.1:{port} --no-control-socket"

SERVERS = [
    Server(
        "uvicorn",
        "--port {port}",
        "uvicorn",
        listens="Uvicorn running on",
        # After its own shutdown it raises the signal again.
        status=-signal.SIGTERM,
    ),
    Server(
        "gunicorn, uvicorn's worker",
        GUNICORN,
        "uvicorn_worker",
        listens="Listening at",
    ),
    Server("gunicorn, its ASGI worker", GUNICORN, "gunicorn", listens="Listening at"),
    Server(
        "gunicorn, aiohttp's worker",
        GUNICORN,
        "gunicorn",
        "aiohttp_app:app",
        listens="Listening at",
    ),
    Server("hypercorn", "--bind 127.0.0.1:{port}", "hypercorn", listens="Running on"),
    # Each worker listens on its own, a little later, without logging it.
    Server("granian", "--port {port}", "granian", listens="Started worker-1"),
    Server(
        "daphne",
        "--port {port}",
        "daphne",
        listens="Listening on TCP address",
        has_lifespan=False,  # daphne does not support it
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
@pytest.mark.parametrize(
    ("engine", "server"),
    [
        *itertools.product(("epoll", "uring"), SERVERS),
        *itertools.product(("adaptive",), SERVERS[:2]),
    ],
    ids=lambda it: getattr(it, "name", it),
    indirect=["engine"],
)
def test_a_server_serves_on_the_chosen_loop_and_ends_on_sigterm(
    server: Server, engine: str, engine_class: str, tmp_path: Path
) -> None:
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

        running.end()
    check_end(running, server.status, shut_downs=int(server.has_lifespan))
