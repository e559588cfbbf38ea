"""asyncio's policy, for programs that choose their loop by it.

Imported only when asked for: from Python 3.14 on the mere sight of asyncio's
base class warns, and in 3.16 it is gone, and this file with it.
"""

import asyncio

from .engine import engine_name, new_event_loop


# By attribute: "from asyncio import ..." looks twice, and would warn twice.
class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """A policy whose new loops are ours; all else is asyncio's default policy.

    Args:
        engine: as in :func:`aioadapt.new_event_loop`; looked up now, once.

    Raises:
        UnknownEngineError: there is no such engine.
    """

    def __init__(self, engine: str | None = None) -> None:
        super().__init__()
        self.engine = engine_name(engine)

    def __repr__(self) -> str:
        return f"<aioadapt.EventLoopPolicy: new loops of engine {self.engine!r}>"

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return new_event_loop(self.engine)
