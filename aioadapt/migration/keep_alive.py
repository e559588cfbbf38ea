"""The keep-alive time of a moved connection, which its new protocol does not know of.

uvicorn and aiohttp start the timer that closes an idle connection after a response, or
when they accept.  A new protocol on a moved connection has sent no response, so its
timer is started here, with what is left of the time: a connection that moves again and
again is closed as early as one that stays.

Neither server has a call for this.  Their protocols are recognized by the attributes
that hold the timer, and every other protocol is left alone.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeGuard


class _Uvicorn(Protocol):
    timeout_keep_alive: float
    timeout_keep_alive_task: asyncio.TimerHandle | None
    timeout_keep_alive_handler: Callable[[], None]


class _Aiohttp(Protocol):
    """Releases differ: ``_keepalive_time`` is when the idle time began, and newer ones
    have ``_next_keepalive_close_time`` instead, when it ends."""

    _keepalive: bool
    _keepalive_handle: asyncio.Handle | None
    _keepalive_timeout: float
    _keepalive_time: float
    _next_keepalive_close_time: float
    _process_keepalive: Callable[[], None]


def go_on(protocol: Any, loop: asyncio.AbstractEventLoop, *, idle_s: float) -> None:
    """Close the connection as if *protocol* had sent a response *idle_s* seconds ago.

    Args:
        protocol: connected, and has received nothing yet.
        idle_s: seconds since the connection's last byte.
    """
    if _is_uvicorns(protocol):
        if protocol.timeout_keep_alive_task is not None:
            protocol.timeout_keep_alive_task.cancel()
        protocol.timeout_keep_alive_task = loop.call_later(
            max(0.0, protocol.timeout_keep_alive - idle_s),
            protocol.timeout_keep_alive_handler,
        )
    elif _is_aiohttps(protocol):
        if protocol._keepalive_handle is not None:
            protocol._keepalive_handle.cancel()
        now = loop.time()
        close_time = max(now, now - idle_s + protocol._keepalive_timeout)
        if hasattr(protocol, "_next_keepalive_close_time"):
            protocol._next_keepalive_close_time = close_time
        else:
            protocol._keepalive_time = now - idle_s
        # In older releases it is set by the first response only.
        protocol._keepalive = True
        protocol._keepalive_handle = loop.call_at(
            close_time, protocol._process_keepalive
        )


def _is_uvicorns(protocol: Any) -> TypeGuard[_Uvicorn]:
    return (
        hasattr(protocol, "timeout_keep_alive_task")
        and callable(getattr(protocol, "timeout_keep_alive_handler", None))
        and isinstance(getattr(protocol, "timeout_keep_alive", None), (int, float))
    )


def _is_aiohttps(protocol: Any) -> TypeGuard[_Aiohttp]:
    return (
        hasattr(protocol, "_keepalive_handle")
        and hasattr(protocol, "_keepalive")
        and callable(getattr(protocol, "_process_keepalive", None))
        and isinstance(getattr(protocol, "_keepalive_timeout", None), (int, float))
        and (
            hasattr(protocol, "_next_keepalive_close_time")
            or hasattr(protocol, "_keepalive_time")
        )
    )
