"""hypercorn, whose loops are a closed list, on ours: a command like its own.

    python -m aioadapt.integrations.hypercorn module:app --bind 127.0.0.1:8000

It takes all of hypercorn's options and files, and starts the same processes.
Only what each of them runs is another function: :func:`worker`, which stands in
for hypercorn's ``asyncio_worker``.

From code no shim is needed:

    with asyncio.Runner(loop_factory=aioadapt.new_event_loop) as runner:
        runner.run(hypercorn.asyncio.serve(app, config))
"""

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aioadapt import ServeError, new_event_loop

from .requirements import as_command, require

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from hypercorn.config import Config, Sockets


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, as the command ``hypercorn`` does with these arguments.

    Args:
        arguments: without the program's name; None takes ``sys.argv``.

    Returns:
        The exit status.

    Raises:
        ServeError: hypercorn is not installed or too old, or it was asked for
            other loops.
        UnknownEngineError: ``$AIOADAPT_ENGINE`` names none.
        UringUnavailableError: it names ``uring``, which is not to be had.
    """
    require("hypercorn")
    command: Any = import_module("hypercorn.__main__")
    # What its main calls once it knows its configuration.
    command.run = _run
    status: int = command.main(None if arguments is None else list(arguments))
    return status


def _run(config: "Config") -> int:
    if config.worker_class != "asyncio":
        raise ServeError(
            f"hypercorn was asked for its worker class {config.worker_class!r}; "
            "leave it out to be served on aioadapt's loops"
        )
    # Before any process is started: here a refusal is one line.
    new_event_loop().close()
    from hypercorn.asyncio import run as in_asyncio
    from hypercorn.run import run

    # Taken from there by run, and sent to its processes by name.
    in_asyncio.asyncio_worker = worker
    return run(config)


def worker(
    config: "Config",
    sockets: "Sockets | None" = None,
    shutdown_event: "Event | None" = None,
) -> None:
    """Be one of hypercorn's workers: what its ``asyncio_worker`` does, on our loop."""
    from hypercorn.asyncio.run import worker_serve
    from hypercorn.utils import check_multiprocess_shutdown_event, load_application

    app = load_application(config.application_path, config.wsgi_max_body_size)
    shutdown_trigger = (
        None
        if shutdown_event is None
        else partial(check_multiprocess_shutdown_event, shutdown_event, asyncio.sleep)
    )
    with asyncio.Runner(debug=config.debug, loop_factory=new_event_loop) as runner:
        runner.get_loop().set_exception_handler(_report)
        runner.run(
            worker_serve(
                app, config, sockets=sockets, shutdown_trigger=shutdown_trigger
            )
        )


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A peer that fails in its handshake is no news; hypercorn thinks so too.
    if not isinstance(context.get("exception"), ssl.SSLError):
        loop.default_exception_handler(context)


if __name__ == "__main__":
    # Under the name by which the workers' processes can import it.
    as_command(import_module("aioadapt.integrations.hypercorn").main)
