"""An event loop policy, for programs that choose their loop through asyncio's.

Imported only when needed: from Python 3.14 on, merely accessing asyncio's base class
warns.  In 3.16 the base class is removed, and this module cannot be imported.
"""

import asyncio

from .engine import engine_name, new_event_loop


# As an attribute: "from asyncio import ..." looks it up twice and would warn twice.
class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """asyncio's default policy, except that it creates our loops.

    Args:
        engine: as in :func:`aioadapt.new_event_loop`; resolved once, now.

    Raises:
        UnknownEngineError: there is no such engine.
    """

    def __init__(self, engine: str | None = None) -> None:
        super().__init__()
        self.engine = engine_name(engine)

    def __repr__(self) -> str:
        return f"<aioadapt.EventLoopPolicy: new loops use engine {self.engine!r}>"

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return new_event_loop(self.engine)
