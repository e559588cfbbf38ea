"""granian on our loops: a command like its own, since its list of loops is fixed.

    python -m aioadapt.integrations.granian --interface asgi module:app

It accepts all of granian's options except ``--loop``.  granian reads and writes its
connections in Rust, on its own threads; our loop runs the application and the
connections that the application itself opens.  So granian's connections cannot
move.

Each worker process takes its loop from a registry, by the name given with
``--loop``.  There, in the worker, every name is registered to our loop.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from aioadapt import AioadaptError, ServeError, new_event_loop

from .requirements import as_command, require


def main() -> None:
    """Serve like the command ``granian``, with the arguments in ``sys.argv``.

    Raises:
        ServeError: granian is not installed or too old.
    """
    require("granian")
    from granian.server import Server

    command: Any = import_module("granian.cli")
    command.Server = type("Server", (_OnOurLoops, Server), {})
    command.entrypoint()


class _OnOurLoops:
    """A mixin for granian's server, whose class depends on how Python was built."""

    loop: Any  # the value of --loop

    def serve(self, *arguments: Any, **options: Any) -> None:
        # Checked before any process starts, so that an error is a single line.
        try:
            if self.loop.value != "auto":
                raise ServeError(
                    f"--loop {self.loop.value} chooses another event loop; remove it "
                    "to run granian on aioadapt's"
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
    """The main function of a granian worker process."""
    from granian._loops import loops

    for name in list(loops.keys()):
        loops.register(name)(_build)
    worker(*arguments)


def _build() -> asyncio.AbstractEventLoop:
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


if __name__ == "__main__":
    # Under the module name by which worker processes can import it.
    as_command(import_module("aioadapt.integrations.granian").main)
