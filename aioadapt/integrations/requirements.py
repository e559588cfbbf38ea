"""Checks that a server is installed and new enough; if not, says what to install."""

import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NoReturn

from aioadapt import AioadaptError, ServeError

OLDEST = {
    "aiohttp": "3.10",
    "daphne": "4.1",
    "granian": "2.0",
    "gunicorn": "24.0",
    "hypercorn": "0.17",
    "twisted": "22.4",
    "uvicorn": "0.36",
    "uvicorn-worker": "0.4",
}
"""The oldest versions that work; docs/integrations.md and the extras state the same."""


def require(package: str) -> None:
    """Check that *package* is installed and not too old.

    Raises:
        ServeError: it is missing or too old; the message says what to install.
    """
    oldest = OLDEST[package]
    try:
        installed = metadata.version(package)
    except metadata.PackageNotFoundError:
        found = "which is not installed"
    else:
        if _release(installed) >= _release(oldest):
            return
        found = f"and {installed} is installed"
    raise ServeError(
        f"this needs {package} {oldest} or newer, {found}; run "
        f"pip install --upgrade '{package}>={oldest}'"
    )


def _release(version: str) -> tuple[int, ...]:
    """The numbers before any letter, so that a pre-release counts as its release."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()  # 0.18 and 0.18.0 are the same version
    return tuple(numbers)


def as_command(main: Callable[[], int | None]) -> NoReturn:
    """Run *main* as a command; our own errors are one line, and exit status 2."""
    try:
        status = main()
    except AioadaptError as error:
        sys.stderr.write(f"aioadapt: {error}\n")
        status = 2
    sys.exit(status)
