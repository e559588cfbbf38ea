"""``aioadapt why``: the last decisions of a running server, in words."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from . import recent


def why(
    server: Annotated[
        str | None,
        typer.Argument(
            help="Its pid, or the path of its admin socket.  [the only one]"
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", min=1, max=256, help="How many decisions.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
) -> None:
    """Say what a running server has decided lately, and why.

    Of decisions to stay that have the same cause, one after the other, only the
    newest is kept.
    """
    from aioadapt.serving.admin_client import choose

    state = choose(server).state(last=count)
    if as_json:
        shown = ("format", "pid", "app", "now", "active", "decisions", "switches")
        print(json.dumps({name: state[name] for name in shown}, indent=2))
    else:
        print("\n".join(lines(state)))


def lines(state: dict[str, Any]) -> Iterator[str]:
    """The decisions of *state*, oldest first, each with what its switch did."""
    mode = "follows the load" if state["adapting"] else "does not follow the load"
    yield f"{state['app']}, pid {state['pid']}: on {state['active']}; {mode}"
    start = state["start"]
    yield (
        f"{recent.clock(state['started_at'])}  started on {start['engine']}: "
        f"{start['reason']}"
    )
    # A switch is begun at the time of its decision.
    switches = {(s["at_s"], s["to"]): s for s in state["switches"]}
    for decision in state["decisions"]:
        yield recent.decision_line(decision)
        yield f"          {recent.otherwise(decision)}"
        switch = switches.get((decision["at_s"], decision["to"]))
        if switch is not None:
            yield f"          {recent.outcome(switch)}"
    if not state["decisions"]:
        yield "nothing has been decided yet"
