"""daphne on our loops, through Twisted's asyncio reactor.

    python -m aioadapt.integrations.daphne module:app --port 8000

It accepts all of daphne's options.  When daphne is first imported it creates a loop
and a reactor over it, unless there already is a reactor over an asyncio loop; so
this installs ours first.  Any Twisted program can do the same:

    aioadapt.integrations.daphne.install()   # before twisted.internet.reactor
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from aioadapt import ServeError, new_event_loop

from .requirements import as_command, require


def install() -> None:
    """Make Twisted's reactor run on a new aioadapt loop.

    Raises:
        ServeError: Twisted is not installed or too old, or already has a reactor.
        UnknownEngineError: ``$AIOADAPT_ENGINE`` names no known engine.
        UringUnavailableError: it names ``uring``, which cannot be used here.
    """
    require("twisted")
    if "twisted.internet.reactor" in sys.modules:
        raise ServeError(
            "Twisted already has a reactor; call install() before anything imports "
            "twisted.internet.reactor"
        )
    from twisted.internet import asyncioreactor

    loop = new_event_loop()
    # daphne applies this setting to the loop that it would create itself.
    if threads := os.environ.get("ASGI_THREADS"):
        loop.set_default_executor(ThreadPoolExecutor(max_workers=int(threads)))
    asyncioreactor.install(loop)


def main() -> None:
    """Serve like the command ``daphne``, with the arguments in ``sys.argv``.

    Raises:
        ServeError: daphne is not installed or too old.
    """
    require("daphne")
    install()
    import_module("daphne.cli").CommandLineInterface.entrypoint()


if __name__ == "__main__":
    as_command(main)
