"""A server under test runs until its standard input ends.

So it exits with the run that started it, however that run ends.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

#: The exit status of a server whose loop is not installed here.
NOT_INSTALLED = 69


def when_input_ends(call: Callable[[], object]) -> None:
    """Wait and then call from a separate thread, which sleeps and so costs nothing."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        call()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def announce(port: int) -> None:
    print(port, flush=True)
