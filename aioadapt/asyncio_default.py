"""Makes asyncio's own functions create our loops."""

import asyncio


def install(engine: str | None = None) -> None:
    """Make asyncio's own functions create our loops, by setting asyncio's policy.

    For programs that offer no other way to choose their loop.  asyncio deprecates
    policies in Python 3.14 and removes them in 3.16; from 3.14 on, this warns as
    asyncio does.  :func:`run` and :func:`new_event_loop` need no policy.

    Args:
        engine: as in :func:`new_event_loop`; resolved once, now.

    Raises:
        UnknownEngineError: there is no such engine.
    """
    from .policy import EventLoopPolicy

    asyncio.set_event_loop_policy(EventLoopPolicy(engine))  # type: ignore[deprecated]
