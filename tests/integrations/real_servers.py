"""A real server as a child of the tests: ready before it is used, gone after them.

It is told to end when this process ends, however that comes about: a test that
hangs takes its process down without any clean-up.
"""

import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from programs import started

TRIES = 5
"""How often a port is chosen anew because somebody was quicker; a guess."""


class NotStartedError(Exception):
    """The server ended before it was ready; the message is what it said."""


def program(*names: str, package: str) -> str:
    """The path of the first program found, or a skip that names Debian's package."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no {names[0]} here; Debian's package is {package}")


def free_port() -> int:
    """A port that was free a moment ago; whoever uses it must be ready to lose it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def as_user(user: str | None) -> list[str]:
    """What to put before a command: it ends with us, and runs as *user* if named."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if user is not None:
        command += ["--reuid", user, "--regid", user, "--clear-groups"]
    return [*command, "--"]


@contextmanager
def running(
    command: Sequence[str], *, ready_when: str, user: str | None = None
) -> Iterator[None]:
    """Inside, the server has said that it is ready.

    Raises:
        NotStartedError: it ended instead, or said nothing of the kind in time.
    """
    command = [*as_user(user), *command]
    with started(*command, environ={"LC_ALL": "C"}) as server:
        try:
            try:
                server.wait_for(ready_when)
            except AssertionError as error:
                raise NotStartedError(str(error)) from None
            yield
        finally:
            server.end(signal.SIGINT)
