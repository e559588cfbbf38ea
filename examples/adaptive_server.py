"""An adaptive server, started from code, that also switches its engine on a signal.

    python examples/adaptive_server.py 8000
    curl http://127.0.0.1:8000/
    kill -USR1 PID        # switch to the other engine; live connections follow
    kill PID              # finish the requests in progress, and exit

It switches by itself when the load requires it.  The signal is there so that you can
see a switch without load.  The first line of output contains the PID.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aioadapt


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Responds with the name of the loop that runs it."""
    if scope["type"] != "http":
        return
    body = f"{type(asyncio.get_running_loop()).__name__}\n".encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main(port: int) -> None:
    wake_up = asyncio.Event()
    requests: list[str] = []

    def request(what: str) -> None:
        requests.append(what)
        wake_up.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, request, "switch")
    for end in signal.SIGTERM, signal.SIGINT:
        loop.add_signal_handler(end, request, "end")

    async with aioadapt.AdaptiveServer(app, port=port) as server:
        start = server.state().start
        print(f"PID {os.getpid()} serves {server.urls[0]}", flush=True)
        print(f"on {start.engine}: {start.reason}", flush=True)
        while "end" not in requests:
            await wake_up.wait()
            wake_up.clear()
            while "switch" in requests:
                requests.remove("switch")
                active = server.controller.active
                switch = await server.switch(
                    "uring" if active == "epoll" else "epoll", reason="SIGUSR1"
                )
                print(
                    f"{switch.source} > {switch.to}: {switch.moved} of "
                    f"{switch.connections} moved {switch.failed}",
                    flush=True,
                )
    print("ended", flush=True)


if __name__ == "__main__":
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
