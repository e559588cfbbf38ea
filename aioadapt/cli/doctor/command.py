"""``aioadapt doctor``: its options, and what it prints."""

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
) -> None:
    """Say whether io_uring can be used here, and if not, why and what to do.

    The exit status is 0 if it can be used and 1 if not.
    """
    # Here, so that --help is quick.
    from .examine import examine
    from .words import lines

    diagnosis = examine()
    if as_json:
        print(json.dumps(diagnosis, indent=2))
    else:
        print("\n".join(lines(diagnosis)))
    raise typer.Exit(0 if diagnosis["io_uring"]["available"] else 1)
