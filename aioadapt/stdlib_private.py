"""The private parts of the standard library that the loops rely on.

Nowhere else is one named.  tests/test_stdlib_private.py looks for each on
every Python it runs on, so that a new Python fails there and not in a user's
program.
"""

import sys
from asyncio import (
    base_events,
    constants,
    events,
    format_helpers,
    futures,
    selector_events,
    sslproto,
    transports,
    trsock,
    unix_events,
)
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

#: SSLProtocol speaks TLS over any transport; its ``_app_transport`` is what
#: the application sees.
SSLProtocol: Any = sslproto.SSLProtocol

#: ``get_extra_info("socket")``: a socket that cannot be used to take bytes away.
TransportSocket = trsock.TransportSocket

#: What the waiter of ``create_connection`` is told.
set_result_unless_cancelled: Callable[[Any, Any], None] = (
    futures._set_result_unless_cancelled  # type: ignore[attr-defined]
)

#: What ``loop.sendfile`` without sendfile(2) asks a transport to be.
FlowControlMixin = transports._FlowControlMixin

#: A child process and its pipes; who waits for the child is another matter.
UnixSubprocessTransport: Any = unix_events._UnixSubprocessTransport  # type: ignore[attr-defined]

#: What reads from a pipe; ``max_size`` bytes at once.
UnixReadPipeTransport: Any = unix_events._UnixReadPipeTransport  # type: ignore[attr-defined]

#: ``loop.sendfile`` may try sendfile(2) on our transports.
SENDFILE_MODE: Any = constants._SendfileMode.TRY_NATIVE

#: What ``sock_*`` methods say to an SSLSocket.
check_ssl_socket: Callable[[Any], None] = base_events._check_ssl_socket  # type: ignore[attr-defined]

#: Writes after the connection is lost that pass in silence.
SILENT_LOST_WRITES: int = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES

#: Before 3.12 writelines joins what it is given, and its errors are join's.
WRITELINES_JOINS = "writelines" not in vars(
    selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
)

#: Since 3.14 it passes over what is empty, or false in any other way.
WRITELINES_PASSES_OVER_EMPTY = sys.version_info >= (3, 14)

#: What write says to what is no bytes: the words are each version's own.
NOT_BYTES: str = next(
    (
        words
        for words in selector_events._SelectorSocketTransport.write.__code__.co_consts  # type: ignore[attr-defined]
        if isinstance(words, str) and words.startswith("data argument must be")
    ),
    "data argument must be a bytes-like object, not ",
)

#: Seconds until accepting is tried again after running out of descriptors.
ACCEPT_RETRY_DELAY_S: float = constants.ACCEPT_RETRY_DELAY

#: Server._attach and _detach name the transport since 3.13 (or are asked to
#: by a later 3.12), so that close_clients knows it.
SERVER_NAMES_CLIENTS = "transport" in base_events.Server._attach.__code__.co_varnames  # type: ignore[attr-defined]


def hold_socket(sock: Any) -> Any:
    """Whoever closes *sock* from now on closes it only after ``release_socket``.

    So its number cannot be given to another file while we use it.

    Returns:
        What ``release_socket`` takes.  *sock* may be an object of somebody's that
        passes everything on to its socket and, once closed, knows it no more
        (gunicorn's): what is held is the socket.  None if there is none in it.
    """
    held = getattr(getattr(sock, "_decref_socketios", None), "__self__", None)
    if held is None:
        return None
    held._io_refs += 1
    return held


def release_socket(held: Any) -> None:
    if held is not None:
        held._decref_socketios()


#: What asyncio itself makes to wait for child processes; gone since 3.14.
_DEFAULT_CHILD_WATCHERS = tuple(
    getattr(unix_events, name)
    for name in ("ThreadedChildWatcher", "PidfdChildWatcher")
    if sys.version_info < (3, 14)
)


def child_watcher_was_set() -> bool:
    """Has the program given the policy a child watcher of its own?"""
    watcher = getattr(events._event_loop_policy, "_watcher", None)  # type: ignore[attr-defined]
    return watcher is not None and type(watcher) not in _DEFAULT_CHILD_WATCHERS


def describe_callback(callback: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """``f(1, 2) at file.py:3``, as asyncio's reports write it (3.13+: no arguments)."""
    return str(format_helpers._format_callback_source(callback, args))


def report_slow(handle: Any, took_s: float) -> None:
    """Debug mode's warning about a callback that held up the loop."""
    base_events.logger.warning(  # type: ignore[attr-defined]
        "Executing %s took %.3f seconds",
        base_events._format_handle(handle),  # type: ignore[attr-defined]
        took_s,
    )


def report_slow_read(loop: Any, transport: Any, took_s: float) -> None:
    """Debug mode's warning about a protocol that held up the loop."""
    if took_s >= loop.slow_callback_duration:
        logger.warning("Executing %r reading took %.3f seconds", transport, took_s)
