"""A real server as a child process: ready before the tests use it, gone after them.

The kernel signals it when this process ends for any reason: a test that hangs ends
its process without clean-up.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from programs import started


def program(*names: str, package: str) -> str:
    """The path of the first program found, or a skip that names Debian's package."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no {names[0]} here; Debian's package is {package}")


def as_user(user: str | None) -> list[str]:
    """The prefix that makes a command end with this process, and run as *user*."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if user is not None:
        command += ["--reuid", user, "--regid", user, "--clear-groups"]
    return [*command, "--"]


@contextmanager
def running(*command: str, ready_when: str, user: str | None = None) -> Iterator[None]:
    """Run the server; the block starts once its output says that it is ready."""
    with started(*as_user(user), *command, environ={"LC_ALL": "C"}) as server:
        try:
            server.wait_for(ready_when)
            yield
        finally:
            server.end(signal.SIGINT)
