"""The demo's application under uvicorn, and the demo's client, agree on every byte."""

import asyncio
import random

import pytest
import uvicorn

from demo.app import EchoApp
from demo.serve import configure
from demo.wire import Exchange, chunked, opening, whole


async def ask(request: bytes, size: int) -> bytes:
    """uvicorn's answer to *request*, on the running loop."""
    app = EchoApp("epoll", asyncio.get_running_loop())
    server = uvicorn.Server(configure(app))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    config.port = 0
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.readexactly(size)
    finally:
        writer.close()
        await writer.wait_closed()
        await server.shutdown()


@pytest.mark.parametrize(
    "exchange",
    [
        whole(b""),
        whole(b"hello"),
        whole(random.Random(1).randbytes(200_000)),
        whole(b"the last one", last=True),
        chunked([b""]),
        chunked([b"x"]),
        chunked([b"he", b"llo", b""]),
    ],
    ids=["none", "small", "large", "last", "no chunk", "one byte", "chunks"],
)
def test_the_application_answers_what_the_client_expects(exchange: Exchange) -> None:
    expected = opening("epoll") + exchange.answer(17, 204)
    received = asyncio.run(ask(exchange.request(17, 204), len(expected)))
    assert received == expected


def test_an_application_refuses_to_serve_on_another_loop() -> None:
    """Otherwise x-engine would name the loop that should have served the request."""
    elsewhere = asyncio.new_event_loop()

    async def unused(*_: object) -> dict[str, object]:
        raise AssertionError("called")

    app = EchoApp("epoll", elsewhere)
    try:
        with pytest.raises(RuntimeError, match="epoll loop ran elsewhere"):
            asyncio.run(app({}, unused, unused))  # type: ignore[arg-type] # never called
    finally:
        elsewhere.close()
