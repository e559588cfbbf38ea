"""Forks in the middle of a test."""

import os
import warnings
from collections.abc import Callable


def in_a_child(what: Callable[[], int | None]) -> int:
    """Forks, runs *what* in the child, and returns the child's exit status.

    The status is what *what* returned, 0 for None, and 1 if it raised.
    """
    _, status = os.waitpid(fork(what), 0)
    return os.waitstatus_to_exitcode(status)


def fork(what: Callable[[], int | None]) -> int:
    """The same without waiting: returns the child's process id."""
    with warnings.catch_warnings():
        # Python warns because the test run has threads; the child starts none.
        warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = what() or 0
        finally:
            os._exit(status)
    return pid
