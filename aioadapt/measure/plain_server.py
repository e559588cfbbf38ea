"""uvicorn on one loop thread, without adapting: the server that a sweep measures.

``python -m aioadapt.measure.plain_server --engine epoll``.  Prints its port as one
JSON line, and exits when its input ends.
"""

import argparse
import json
import signal
import socket
import sys
import time

import uvicorn

import aioadapt

from .app import app

BACKLOG = 4096
POLL_S = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aioadapt.measure.plain_server")
    parser.add_argument("--engine", choices=("epoll", "uring"), required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = uvicorn.Config(
        app,
        loop="none",  # it runs on the thread's loop and creates none
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with (
        aioadapt.LoopThread(options.engine) as thread,
        socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener,
    ):
        end = thread.submit(server.serve(sockets=[listener]))
        while not server.started and not end.done():
            time.sleep(POLL_S)
        sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.should_exit = True
        end.result()


if __name__ == "__main__":
    main()
