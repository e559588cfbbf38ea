"""Explains errors of an application that uses an object on the wrong loop.

An application runs on two loops, with its startup once on each.  An object that it
creates outside of that, such as a database pool in a module global, is bound to the
loop that first used it, and raises an error on the other one.  Such an error is
caught where it leaves the application, and raised again with its cause: for ASGI
by an additional coroutine around each request, and for aiohttp, which logs the
error and raises nothing, in the logger.
"""

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aioadapt import ForeignLoopError, ServeError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

# The messages of asyncio's futures, tasks, locks and queues, of aiohttp's
# applications and sessions, of asyncio's debug mode, and of libraries that copy them.
COMPLAINT = re.compile(
    r"\b(different|another|other) (event )?loop\b"
    r"|\bsame event loop\b"
    r"|\bevent loop other than the current one\b",
    re.IGNORECASE,
)

EXPLANATION = (
    "the application used an object that belongs to another thread's event loop: "
    "{error} (likely cause: the object was created once, but the application runs on "
    "two loops, one per engine; create it in the application's startup and keep it in "
    "the lifespan state, or give each loop its own application with --factory)"
)


def is_complaint(error: BaseException | str) -> bool:
    """Whether *error* says that something belongs to another loop."""
    if isinstance(error, ForeignLoopError):
        return False
    return COMPLAINT.search(str(error)) is not None


def explained(error: BaseException) -> ForeignLoopError:
    """*error* with its cause and what to do; *error* is chained to the result."""
    explanation = ForeignLoopError(EXPLANATION.format(error=error))
    explanation.__cause__ = error
    return explanation


def names_the_cause(app: AsgiApp, live: AsgiApp) -> AsgiApp:
    """Wrap *app* so that its errors about another loop name their cause.

    The lifespan is handed to *live*, which has its own wrapper.
    """

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        except Exception as error:
            if is_complaint(error):
                raise explained(error) from error
            raise

    return call


class NamesTheCause(logging.Filter):
    """The same as a logger's filter, for exceptions that are only logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        exc_info = record.exc_info
        if isinstance(exc_info, tuple):
            error = exc_info[1]
            if error is not None and is_complaint(error):
                record.exc_info = (ForeignLoopError, explained(error), exc_info[2])
        return True


def start_up_failed(said: str, error: BaseException | None) -> ServeError:
    """The error that a host server raises if the application's own startup failed."""
    if is_complaint(error or said):
        said = EXPLANATION.format(error=said)
    return ServeError(f"application startup failed: {said}")
