"""hypercorn on our loops: a command like its own, since its list of loops is fixed.

    python -m aioadapt.integrations.hypercorn module:app --bind 127.0.0.1:8000

It accepts all of hypercorn's options and configuration files, and starts the same
processes.  Only the function that each of them runs is different: :func:`worker`
replaces hypercorn's ``asyncio_worker``.

From code no adapter is needed:

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
    """Serve like the command ``hypercorn``, with these arguments.

    Args:
        arguments: without the program name; None for ``sys.argv``.

    Returns:
        The exit status.

    Raises:
        ServeError: hypercorn is not installed or too old, or another worker class
            is configured.
        UnknownEngineError: ``$AIOADAPT_ENGINE`` names no known engine.
        UringUnavailableError: it names ``uring``, which cannot be used here.
    """
    require("hypercorn")
    command: Any = import_module("hypercorn.__main__")
    # hypercorn's main calls this once it has read its configuration.
    command.run = _run
    status: int = command.main(None if arguments is None else list(arguments))
    return status


def _run(config: "Config") -> int:
    if config.worker_class != "asyncio":
        raise ServeError(
            f"the worker class {config.worker_class!r} brings its own event loop; "
            "remove it to run hypercorn on aioadapt's"
        )
    # Checked before any process starts, so that an error is a single line.
    new_event_loop().close()
    from hypercorn.asyncio import run as in_asyncio
    from hypercorn.run import run

    # run() looks it up there, and passes it to its processes by name.
    in_asyncio.asyncio_worker = worker
    return run(config)


def worker(
    config: "Config",
    sockets: "Sockets | None" = None,
    shutdown_event: "Event | None" = None,
) -> None:
    """A hypercorn worker: the same as its ``asyncio_worker``, but on our loop."""
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
    # Ignore peers that fail the TLS handshake, as hypercorn does.
    if not isinstance(context.get("exception"), ssl.SSLError):
        loop.default_exception_handler(context)


if __name__ == "__main__":
    # Under the module name by which worker processes can import it.
    as_command(import_module("aioadapt.integrations.hypercorn").main)
