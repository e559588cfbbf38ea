"""Runs a function in a child process, which may crash or hang without harm."""

import os
import pickle
import select
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Died(Exception):
    """How a child process ended."""


def isolated(call: Callable[[], T], within_s: float) -> T:
    """The result of the call.

    Raises:
        Died: the process ended without one, or did not end in time.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(call(), pipe)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        is_late = not select.select([pipe], [], [], within_s)[0]
        if is_late:
            os.kill(pid, signal.SIGKILL)
        pickled = pipe.read()
    _, status = os.waitpid(pid, 0)
    if is_late:
        raise Died(f"nothing within {within_s} s")
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise Died(f"signal {-code}" if code < 0 else f"exit {code}")
    result: T = pickle.loads(pickled)
    return result
