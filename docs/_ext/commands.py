"""What ``aioadapt COMMAND --help`` prints, as a block of text."""

from typer.testing import CliRunner

from aioadapt.cli.commands import app

# Lines break here wherever the pages are built.
WIDTH = 88


def help_of(command: str) -> str:
    """Raises RuntimeError where there is no such command."""
    runner = CliRunner(env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)})
    answer = runner.invoke(app, [command, "--help"], prog_name="aioadapt")
    if answer.exit_code != 0:
        raise RuntimeError(f"aioadapt {command} --help: {answer.output}")
    return f"```text\n{answer.output.strip()}\n```"
