"""The entry point of the command line: user errors are one line, not a traceback."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aioadapt import AioadaptError

if TYPE_CHECKING:
    import typer

# Top-level modules of the extras: checked first, so that a missing one is reported
# as such and any other ImportError is a bug of our own.
EXTRAS = ("typer", "rich", "uvicorn", "httptools")
# Commands that serve nothing and so need no server.
WITHOUT_SERVER = {"doctor": EXTRAS[:1], "top": EXTRAS[:1], "why": EXTRAS[:1]}
CANNOT_BEGIN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; without arguments print the help."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    needed = WITHOUT_SERVER.get(arguments[0], EXTRAS)
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        extras = "cli" if needed is not EXTRAS else "serve,cli"
        return _refuse(
            f'not installed: {", ".join(missing)}; run pip install "aioadapt[{extras}]"'
        )
    from .commands import app

    return run(app, arguments, "aioadapt")


def run(app: "typer.Typer", arguments: list[str], prog_name: str) -> int:
    """Run a typer application and return the exit status."""
    import typer

    # The class of errors that a wrong option raises.  Some versions of typer
    # bundle click and some do not; the class is reachable this way in both.
    usage_error = typer.BadParameter.__mro__[1]
    command = typer.main.get_command(app)
    try:
        status = command.main(
            args=arguments, prog_name=prog_name, standalone_mode=False
        )
    except AioadaptError as error:
        return _refuse(str(error))
    except typer.Abort:
        return 130
    except Exception as error:
        if isinstance(error, usage_error):
            return _refuse(getattr(error, "format_message", error.__str__)())
        raise
    return status if isinstance(status, int) else 0


def _refuse(why: str) -> int:
    print(f"aioadapt: {' '.join(why.split())}", file=sys.stderr)
    return CANNOT_BEGIN
