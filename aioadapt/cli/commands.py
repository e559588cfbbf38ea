"""The commands, in the order in which ``--help`` lists them."""

import typer

from .calibrate import calibrate
from .doctor.command import doctor
from .serve import serve
from .top.command import top
from .why import why

app = typer.Typer(
    help="asyncio event loops for Linux, and live connections that move between them.",
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.command()(top)
app.command()(why)
app.command()(doctor)
app.command()(calibrate)


@app.callback()
def _more_than_one_command() -> None:
    """With a callback, typer requires the command name even for a single command."""
