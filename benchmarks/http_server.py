"""uvicorn with httptools on any event loop.

``python -m benchmarks.http_server --loop uvloop``.  Prints its port, and exits
when its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.lifeline import NOT_INSTALLED, announce, when_input_ends
from benchmarks.loops import NotInstalledError, factory_of

REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: spin\r\nAccept: */*\r\n\r\n"

BODY = b"Hello, world!"

#: The whole response.  The client compares every byte, so uvicorn is told not to add
#: the date and its name.
ANSWER = (
    "HTTP/1.1 200 OK\r\n"
    "content-type: text/plain\r\n"
    f"content-length: {len(BODY)}\r\n"
    "\r\n"
    f"{BODY.decode()}"
)

BACKLOG = 4096


async def hello(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.http_server", description=__doc__
    )
    parser.add_argument(
        "--loop", default="asyncio", help="the name of a loop, or module:factory"
    )
    options = parser.parse_args()
    try:
        factory = factory_of(options.loop)
        try:
            import httptools  # noqa: F401  uvicorn itself complains much later
            import uvicorn
        except ModuleNotFoundError as error:
            raise NotInstalledError(f"not installed: {error}") from error
        # With an explicit protocol: for a socket made with protocol 0 asyncio leaves
        # Nagle's algorithm on, and a response in two writes then waits 40 ms for a
        # delayed acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        config = uvicorn.Config(
            hello,
            loop="none",
            http="httptools",
            lifespan="off",
            log_level="warning",
            access_log=False,
            date_header=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        when_input_ends(lambda: setattr(server, "should_exit", True))
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop()
            # The socket is listening: connections made now are served later.
            announce(listener.getsockname()[1])
            runner.run(server.serve(sockets=[listener]))
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)


if __name__ == "__main__":
    main()
