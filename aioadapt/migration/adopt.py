"""Adopting: a DetachedSocket becomes a served connection, on the new loop's thread."""

import asyncio
from typing import Any

from . import keep_alive, reasons
from .detached_socket import DetachedSocket
from .ports import ProtocolFactory, ServingLoop, Stream

FactoryAndServer = tuple[ProtocolFactory, Any]


class RefusedError(Exception):
    """The loop did not adopt it; the DetachedSocket still owns the descriptor."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def adopt(
    detached: DetachedSocket,
    loop: ServingLoop,
    fallback: FactoryAndServer | None = None,
) -> Stream:
    """Have *loop* serve it, with the factory of its server on that address.

    Args:
        fallback: a factory and its server, for a loop that has since closed its
            listener but not its connections.

    Raises:
        RefusedError: with the reason as text.
    """
    factory_and_server = loop.serving_on(detached.sockname) or fallback
    if factory_and_server is None:
        raise RefusedError(reasons.NO_SERVER)
    protocol_factory, server = factory_and_server
    released = detached.take()
    made: list[asyncio.BaseProtocol] = []

    def make_protocol() -> asyncio.BaseProtocol:
        made.append(protocol_factory())
        return made[0]

    try:
        stream = loop.adopt(released, make_protocol, server)
    except BaseException as error:
        detached.put_back(released)
        if not isinstance(error, Exception):
            raise
        loop.call_exception_handler(
            {
                "message": f"cannot adopt connection {detached.id} from "
                f"{detached.peername!r}: the server's protocol factory failed",
                "exception": error,
            }
        )
        raise RefusedError(reasons.FACTORY_FAILED) from error
    # With bytes of a request it is not idle, and before its first request the
    # server has accepted it and no more.
    if released.requests and not released.unread and not stream.closed:
        idle_s = max(0.0, loop.time() - released.last_byte_at)
        keep_alive.go_on(made[0], loop, idle_s=idle_s)
    return stream
