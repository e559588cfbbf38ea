"""An asyncio server on the loop of your choice.

Only the last lines use aioadapt.  Run it and connect to it:

    python examples/echo.py 8000
    AIOADAPT_ENGINE=epoll python examples/echo.py 8000
    nc 127.0.0.1 8000
"""

import asyncio
import sys

import aioadapt


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    host, port = server.sockets[0].getsockname()
    loop = asyncio.get_running_loop()
    print(f"echoing on {host}:{port}, on {type(loop).__name__}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    try:
        # The engine is $AIOADAPT_ENGINE, or io_uring if it is available.
        aioadapt.run(main(port))
    except KeyboardInterrupt:
        print("ended")
