"""``aioadapt top``: its options, and the picture without a terminal."""

import time
from typing import Annotated

import typer

EVERY_S = 1.0


def top(
    server: Annotated[
        str | None,
        typer.Argument(
            help="Its pid, or the path of its admin socket.  [the only one]"
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print one picture, of one second, and end."),
    ] = False,
) -> None:
    """Watch a running server: connections, requests, latency, moves, decisions.

    q ends it.
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
            'textual missing here: pip install "aioadapt[cli]", or use --once'
        ) from error
    ended = Top(client, before, every_s=EVERY_S).run()
    if ended:
        print(ended)
