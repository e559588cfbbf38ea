"""The commands, in the order in which ``--help`` lists them."""

import typer

from .demo.command import demo

app = typer.Typer(
    help="asyncio event loops, and live connections that move between them.",
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(demo)


@app.callback()
def _more_than_one_command() -> None:
    """With a callback, typer wants the command's name even while there is only one."""
