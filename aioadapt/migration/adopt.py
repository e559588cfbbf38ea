"""A DetachedSocket becomes a served connection, on the thread of the loop that takes it."""

from typing import Any

from . import reasons
from .detached_socket import DetachedSocket
from .ports import ProtocolFactory, ServingLoop, Stream

Home = tuple[ProtocolFactory, Any]


class RefusedError(Exception):
    """The loop did not take it; the DetachedSocket has its descriptor as before."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def adopt(
    detached: DetachedSocket, loop: ServingLoop, fallback: Home | None = None
) -> Stream:
    """Have *loop* serve it, with the factory of its server on that address.

    Args:
        fallback: a factory and its server, for a loop that has closed its
            listener since but not its connections.

    Raises:
        RefusedError: with the reason as text.
    """
    home = loop.serving_on(detached.sockname) or fallback
    if home is None:
        raise RefusedError(reasons.NO_SERVER)
    protocol_factory, server = home
    released = detached.take()
    try:
        return loop.adopt(released, protocol_factory, server)
    except BaseException as error:
        detached.put_back(released)
        if not isinstance(error, Exception):
            raise
        loop.call_exception_handler(
            {
                "message": f"no protocol for moved connection {detached.id} "
                f"from {detached.peername!r}: the server's protocol factory failed",
                "exception": error,
            }
        )
        raise RefusedError(reasons.FACTORY_FAILED) from error
