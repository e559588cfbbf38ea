"""``aioadapt doctor``: its options."""

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of text.")
    ] = False,
) -> None:
    """Check whether io_uring can be used here.

    If it cannot, the output says why and what to do about it.  The exit status is 0
    if io_uring can be used, and 1 if not.
    """
    # Imported here, so that --help is fast.
    from .examine import examine
    from .words import lines

    diagnosis = examine()
    if as_json:
        print(json.dumps(diagnosis, indent=2))
    else:
        print("\n".join(lines(diagnosis)))
    raise typer.Exit(0 if diagnosis["io_uring"]["available"] else 1)
