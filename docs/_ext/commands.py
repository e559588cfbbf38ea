"""The output of ``--help`` of our commands and of the demo, as a block of text."""

import typer
from typer.testing import CliRunner

from aioadapt.cli.commands import app
from demo.__main__ import demo

# Fixed, so that lines break at the same place wherever the pages are built.
WIDTH = 88


def help_of(command: str) -> str:
    """The help of ``aioadapt COMMAND``.

    Raises:
        RuntimeError: there is no such command.
    """
    return _output(app, "aioadapt", [command, "--help"])


def help_of_demo() -> str:
    """The help of ``./run demo``, which is not a command of the package."""
    demo_app = typer.Typer(add_completion=False, rich_markup_mode=None)
    demo_app.command()(demo)
    return _output(demo_app, "./run demo", ["--help"])


def _output(of: typer.Typer, name: str, arguments: list[str]) -> str:
    runner = CliRunner(env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)})
    result = runner.invoke(of, arguments, prog_name=name)
    if result.exit_code != 0:
        raise RuntimeError(f"{name} {' '.join(arguments)}: {result.output}")
    return f"```text\n{result.output.strip()}\n```"
