"""``aioadapt why``: the latest decisions of a running server, in words."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from . import recent


def why(
    server: Annotated[
        str | None,
        typer.Argument(
            help="PID of the server, or path of its admin socket.  [default: the only "
            "running server]"
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", min=1, max=256, help="Number of decisions to show.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of text.")
    ] = False,
) -> None:
    """Show a server's latest decisions and why.

    Each comes with its reason, and with what would have led to a different decision.
    Of consecutive decisions to stay that have the same cause, only the newest is
    shown.
    """
    from aioadapt.serving.admin_client import choose

    state = choose(server).state(last=count)
    if as_json:
        shown = ("format", "pid", "app", "now", "active", "decisions", "switches")
        print(json.dumps({name: state[name] for name in shown}, indent=2))
    else:
        print("\n".join(lines(state)))


def lines(state: dict[str, Any]) -> Iterator[str]:
    """The decisions of *state*, oldest first, each with the outcome of its switch."""
    mode = "adapting to the load" if state["adapting"] else "not adapting to the load"
    yield f"{state['app']}, pid {state['pid']}: on {state['active']}, {mode}"
    start = state["start"]
    yield (
        f"{recent.clock(state['started_at'])}  started on {start['engine']}: "
        f"{start['reason']}"
    )
    # A switch carries the time of its decision.
    switches = {(s["at_s"], s["to"]): s for s in state["switches"]}
    for decision in state["decisions"]:
        yield recent.decision_line(decision)
        yield f"          {recent.otherwise(decision)}"
        switch = switches.get((decision["at_s"], decision["to"]))
        if switch is not None:
            yield f"          {recent.outcome(switch)}"
    if not state["decisions"]:
        yield "no decisions yet"
