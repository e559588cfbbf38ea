"""granian, whose loops are a closed list, on ours: a command like its own.

    python -m aioadapt.integrations.granian --interface asgi module:app

It takes all of granian's options but ``--loop``.  granian reads and writes its
connections in Rust, on threads of its own; a loop of ours runs the application,
and whatever the application connects to.  So there is nothing here to move.

Each worker takes its loop from a registry, by the name that ``--loop`` gives,
after it has been forked or spawned.  There every name is made to mean our loop.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from aioadapt import AioadaptError, ServeError, new_event_loop

from .requirements import as_command, require


def main() -> None:
    """Serve, as the command ``granian`` does with the arguments in ``sys.argv``.

    Raises:
        ServeError: granian is not installed or too old.
    """
    require("granian")
    from granian.server import Server

    command: Any = import_module("granian.cli")
    command.Server = type("Server", (_OnOurLoops, Server), {})
    command.entrypoint()


class _OnOurLoops:
    """Goes before granian's server, whose class depends on how Python was built."""

    loop: Any  # what --loop named

    def serve(self, *arguments: Any, **options: Any) -> None:
        # Before any process is started: here a refusal is one line.
        try:
            if self.loop.value != "auto":
                raise ServeError(
                    f"granian was asked for its loop {self.loop.value!r}; "
                    "leave it out to have aioadapt's"
                )
            new_event_loop().close()
        except AioadaptError as error:
            import click

            raise click.ClickException(f"aioadapt: {error}") from error
        super().serve(*arguments, **options)  # type: ignore[misc]

    def _spawn_worker(
        self, idx: int, target: Callable[..., None], callback_loader: Any
    ) -> Any:
        on_ours = partial(_run_on_ours, target)
        return super()._spawn_worker(idx, on_ours, callback_loader)  # type: ignore[misc]


def _run_on_ours(worker: Callable[..., None], *arguments: Any) -> None:
    """Be one of granian's workers, in its process."""
    from granian._loops import loops

    for name in list(loops.keys()):
        loops.register(name)(_build)
    worker(*arguments)


def _build() -> asyncio.AbstractEventLoop:
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


if __name__ == "__main__":
    # Under the name by which the workers' processes can import it.
    as_command(import_module("aioadapt.integrations.granian").main)
