"""``aioadapt top``: its options, and the snapshot for ``--once``."""

import time
from typing import Annotated

import typer

EVERY_S = 1.0


def top(
    server: Annotated[
        str | None,
        typer.Argument(
            help="PID of the server, or path of its admin socket.  [default: the only "
            "running server]"
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print one snapshot, over one second, and exit."),
    ] = False,
) -> None:
    """Watch a running server live.

    Shows connections, requests, latency, moves and decisions.  Press q to quit.
    """
    from aioadapt import AioadaptError
    from aioadapt.serving.admin_client import choose

    from .picture import SHOWN, picture

    client = choose(server)
    before = client.state(SHOWN)
    if once:
        time.sleep(EVERY_S)
        print("\n".join(picture(before, client.state(SHOWN)).lines()))
        return
    try:
        from .app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise AioadaptError(
            'not installed: textual; run pip install "aioadapt[cli]", or use --once'
        ) from error
    ended = Top(client, before, every_s=EVERY_S).run()
    if ended:
        print(ended)
