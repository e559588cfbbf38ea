"""The private parts of the standard library that the loops rely on.

They are named nowhere else.  tests/test_stdlib_private.py checks for each one on every
Python version it runs on, so that a new version fails there and not in a user's
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
    tasks,
    transports,
    trsock,
    unix_events,
)
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

#: TLS over any transport; its ``_app_transport`` is what the application sees.
SSLProtocol: Any = sslproto.SSLProtocol

#: ``get_extra_info("socket")``: a socket without methods that read or write.
TransportSocket = trsock.TransportSocket

#: How the waiter of ``create_connection`` is completed.
set_result_unless_cancelled: Callable[[Any, Any], None] = (
    futures._set_result_unless_cancelled  # type: ignore[attr-defined]
)

#: ``loop.sendfile``'s fallback without sendfile(2) requires a transport to be one.
FlowControlMixin = transports._FlowControlMixin

#: A child process and its pipes; how the child is waited for is up to a subclass.
UnixSubprocessTransport: Any = unix_events._UnixSubprocessTransport  # type: ignore[attr-defined]

#: Reads from a pipe, ``max_size`` bytes at a time.
UnixReadPipeTransport: Any = unix_events._UnixReadPipeTransport  # type: ignore[attr-defined]

#: Tells ``loop.sendfile`` to try sendfile(2) on our transports.
SENDFILE_MODE: Any = constants._SendfileMode.TRY_NATIVE

#: The check with which ``sock_*`` methods refuse an SSLSocket.
check_ssl_socket: Callable[[Any], None] = base_events._check_ssl_socket  # type: ignore[attr-defined]

#: How many writes to a lost connection are ignored before a warning is logged.
SILENT_LOST_WRITES: int = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES

#: Before 3.12 writelines joins its argument, and its errors are join's.
WRITELINES_JOINS = "writelines" not in vars(
    selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
)

#: Since 3.14 it skips items that are empty, or otherwise false.
WRITELINES_PASSES_OVER_EMPTY = sys.version_info >= (3, 14)

#: The message with which write refuses non-bytes; it differs between versions.
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

#: Server._attach and _detach take the transport since 3.13 (and in later 3.12
#: releases), so that close_clients knows it.
SERVER_NAMES_CLIENTS = "transport" in base_events.Server._attach.__code__.co_varnames  # type: ignore[attr-defined]

#: For tasks of a class of one's own; documented under "Extending asyncio".
register_task: Callable[[Any], None] = tasks._register_task
unregister_task: Callable[[Any], None] = tasks._unregister_task
enter_task: Callable[[Any, Any], None] = tasks._enter_task
leave_task: Callable[[Any, Any], None] = tasks._leave_task


def leave_current_tasks(loop: Any) -> tuple[Any, Any]:
    """From now on the running loop has no current task, so that others may run.

    Returns:
        What it had, for ``enter_current_tasks``.
    """
    task = tasks._current_tasks.pop(loop, None)  # type: ignore[attr-defined]
    in_c = None
    # Since Python 3.14 that is for tasks written in Python only.
    if sys.version_info >= (3, 14) and tasks.current_task(loop) is not None:
        in_c = tasks._swap_current_task(loop, None)  # type: ignore[attr-defined]
    return task, in_c


def enter_current_tasks(loop: Any, before: tuple[Any, Any]) -> None:
    task, in_c = before
    if task is not None:
        tasks._current_tasks[loop] = task  # type: ignore[attr-defined]
    if in_c is not None:
        tasks._swap_current_task(loop, in_c)  # type: ignore[attr-defined]


def hold_socket(sock: Any) -> Any:
    """From now on, closing *sock* takes effect only after ``release_socket``.

    So its descriptor cannot be reused for another file while we use it.

    Returns:
        The argument for ``release_socket``: the socket itself.  *sock* may be a
        wrapper that delegates to its socket and drops it when closed, such as
        gunicorn's.  None if there is no socket in it.
    """
    held = getattr(getattr(sock, "_decref_socketios", None), "__self__", None)
    if held is None:
        return None
    held._io_refs += 1
    return held


def release_socket(held: Any) -> None:
    if held is not None:
        held._decref_socketios()


#: The child watchers that asyncio itself creates; removed in 3.14.
_DEFAULT_CHILD_WATCHERS = tuple(
    getattr(unix_events, name)
    for name in ("ThreadedChildWatcher", "PidfdChildWatcher")
    if sys.version_info < (3, 14)
)


def child_watcher_was_set() -> bool:
    """Has the program set a child watcher of its own?"""
    watcher = getattr(events._event_loop_policy, "_watcher", None)  # type: ignore[attr-defined]
    return watcher is not None and type(watcher) not in _DEFAULT_CHILD_WATCHERS


def describe_callback(callback: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """``f(1, 2) at file.py:3``, in asyncio's format (since 3.13 without arguments)."""
    return str(format_helpers._format_callback_source(callback, args))


def report_slow(handle: Any, took_s: float) -> None:
    """Debug mode's warning about a callback that blocked the loop."""
    base_events.logger.warning(  # type: ignore[attr-defined]
        "Executing %s took %.3f seconds",
        base_events._format_handle(handle),  # type: ignore[attr-defined]
        took_s,
    )


def report_slow_read(loop: Any, transport: Any, took_s: float) -> None:
    """Debug mode's warning about a protocol that blocked the loop."""
    if took_s >= loop.slow_callback_duration:
        logger.warning("Executing %r reading took %.3f seconds", transport, took_s)
