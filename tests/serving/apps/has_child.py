"""Starts a process at import that inherits whatever may be inherited."""

import os
import subprocess
import sys

from good import app  # type: ignore[import-not-found]

__all__ = ["app"]

# It ends when the test closes the pipe.
child = subprocess.Popen(
    [sys.executable, "-S", "-c", "open(0).read()"],
    stdin=os.open(os.environ["FIFO"], os.O_RDONLY),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    close_fds=False,
)
