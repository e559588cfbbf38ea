"""daphne on our loops: Twisted's asyncio reactor, over one of them.

    python -m aioadapt.integrations.daphne module:app --port 8000

It takes all of daphne's options.  daphne makes a loop and a reactor over it when
it is first imported, unless there is a reactor over some asyncio loop already;
so ours is installed before.  Any Twisted program can do the same:

    aioadapt.integrations.daphne.install()   # before twisted.internet.reactor
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from aioadapt import ServeError, new_event_loop

from .requirements import as_command, require


def install() -> None:
    """Make Twisted's reactor run on a new loop of ours.

    Raises:
        ServeError: Twisted is not installed or too old, or has a reactor already.
        UnknownEngineError: ``$AIOADAPT_ENGINE`` names none.
        UringUnavailableError: it names ``uring``, which is not to be had.
    """
    require("twisted")
    if "twisted.internet.reactor" in sys.modules:
        raise ServeError(
            "Twisted has a reactor already; call install() before anything "
            "imports twisted.internet.reactor"
        )
    from twisted.internet import asyncioreactor

    loop = new_event_loop()
    # Read by daphne too, for the loop that it would make.
    if threads := os.environ.get("ASGI_THREADS"):
        loop.set_default_executor(ThreadPoolExecutor(max_workers=int(threads)))
    asyncioreactor.install(loop)


def main() -> None:
    """Serve, as the command ``daphne`` does with the arguments in ``sys.argv``.

    Raises:
        ServeError: daphne is not installed or too old.
    """
    require("daphne")
    install()
    import_module("daphne.cli").CommandLineInterface.entrypoint()


if __name__ == "__main__":
    as_command(main)
