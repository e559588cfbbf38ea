"""A real server as a child of the tests: ready before it is used, gone after them.

It is told to end when this process ends, however that comes about: a test that
hangs takes its process down without any clean-up.
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
    """What to put before a command: it ends with us, and runs as *user* if named."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if user is not None:
        command += ["--reuid", user, "--regid", user, "--clear-groups"]
    return [*command, "--"]


@contextmanager
def running(*command: str, ready_when: str, user: str | None = None) -> Iterator[None]:
    """Inside, the server has said that it is ready."""
    with started(*as_user(user), *command, environ={"LC_ALL": "C"}) as server:
        try:
            server.wait_for(ready_when)
            yield
        finally:
            server.end(signal.SIGINT)
