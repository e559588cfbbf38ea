"""Telling the cause where an application mixes its two loops up.

An application runs on two loops, its start-up once on each.  What it makes
outside of that, say a pool of database connections in a module's variable, is
bound to the loop that first used it, and complains on the other one.  Such a
complaint is caught where it leaves the application, and raised again with its
cause: for ASGI by one more coroutine around each request, and for aiohttp,
which logs it and raises nothing, where it is logged.
"""

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aioadapt import ForeignLoopError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

# As said by asyncio's futures, tasks, locks and queues; aiohttp's applications
# and sessions; asyncio's debug mode; and those that copy them.
COMPLAINT = re.compile(
    r"\b(different|another|other) (event )?loop\b"
    r"|\bsame event loop\b"
    r"|\bevent loop other than the current one\b",
    re.IGNORECASE,
)

EXPLANATION = (
    "something the application uses belongs to the loop of another thread: {error} (likely "
    "cause: it was made once, and the application runs on two loops, one per engine; "
    "make it in the application's start-up and keep it in the lifespan's state, or "
    "give each loop its own application with --factory)"
)


def is_complaint(error: BaseException | str) -> bool:
    """Whether *error* says that something belongs to another loop."""
    if isinstance(error, ForeignLoopError):
        return False
    return COMPLAINT.search(str(error)) is not None


def explained(error: BaseException) -> ForeignLoopError:
    """The same with its cause and the way on; *error* is chained to it."""
    explanation = ForeignLoopError(EXPLANATION.format(error=error))
    explanation.__cause__ = error
    return explanation


def names_the_cause(app: AsgiApp, live: AsgiApp) -> AsgiApp:
    """*app*, whose complaints of another loop name their cause.

    Its life cycle is run by *live*: one wrapper around a request is enough.
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
    """On a logger, the same for an exception that is only logged there."""

    def filter(self, record: logging.LogRecord) -> bool:
        exc_info = record.exc_info
        if isinstance(exc_info, tuple):
            error = exc_info[1]
            if error is not None and is_complaint(error):
                record.exc_info = (ForeignLoopError, explained(error), exc_info[2])
        return True
