"""The private parts of asyncio that the loops rely on all exist.

If a new Python renames one, or calls it differently, a test here fails and says
what breaks, before a user's program does.
"""

import ast
import asyncio
import inspect
import socket
import sys
import threading
import types
from asyncio import (
    base_events,
    base_subprocess,
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
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from aioadapt import EpollEventLoop, UringEventLoop, stdlib_private
from aioadapt._stream.transport import StreamTransport

PYTHON = "asyncio of Python {}.{}.{}".format(*sys.version_info)
PYTHON_HAS_NO_WATCHERS = sys.version_info >= (3, 14)
THEIRS = asyncio.SelectorEventLoop
THEIR_TRANSPORT: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Part:
    owner: Any
    name: str
    breaks: str
    parameters: str | None = None  # the first ones, "*" before keyword-only ones

    def __str__(self) -> str:
        return f"{self.owner.__name__.removeprefix('asyncio.')}.{self.name}"


def hook(name: str, parameters: str, breaks: str) -> Part:
    return Part(THEIRS, name, breaks, parameters)


WATCHED = "add_{0}, sock_* calls, pipes, datagrams and signals: none of them waits"

# asyncio calls these, and we override them.
HOOKS = [
    hook("_run_once", "", "no iteration of ours ever runs"),
    hook("_make_self_pipe", "", "every loop opens a socket pair besides its eventfd"),
    hook("_close_self_pipe", "", "close() stumbles over a socket pair that is not"),
    hook("_write_to_self", "", "a signal does not wake a loop that sleeps"),
    hook("_add_callback", "handle", "signal handlers are queued where nobody looks"),
    hook(
        "_timer_handle_cancelled",
        "handle",
        "cancelled timers stay in the heap until they are due",
    ),
    hook("_add_reader", "fd, callback, *args", WATCHED.format("reader")),
    hook("_add_writer", "fd, callback, *args", WATCHED.format("writer")),
    hook("_remove_reader", "fd", "a reader that was removed is still called"),
    hook("_remove_writer", "fd", "a writer that was removed is still called"),
    hook(
        "_ensure_fd_no_transport",
        "fd",
        "add_reader and sock_recv take bytes away from a transport",
    ),
    hook(
        "_make_socket_transport",
        "sock, protocol, waiter, *, extra, server",
        "connections get asyncio's transports instead of ours",
    ),
    hook(
        "_make_datagram_transport",
        "sock, protocol, address, waiter, extra",
        "datagrams pass through asyncio's own transport",
    ),
    hook(
        "_make_read_pipe_transport",
        "pipe, protocol, waiter, extra",
        "pipes are read by 256 KiB, which malloc maps anew each time",
    ),
    hook(
        "_make_subprocess_transport",
        "protocol, args, shell, stdin, stdout, stderr, bufsize, extra",
        "a child process is waited for by a thread of its own",
    ),
    hook(
        "_make_ssl_transport",
        "rawsock, protocol, sslcontext, waiter, *, server_side, server_hostname, "
        "extra, server, ssl_handshake_timeout, ssl_shutdown_timeout",
        "TLS does not pass over our transports",
    ),
    hook(
        "_start_serving",
        "protocol_factory, sock, sslcontext, server, backlog, "
        "ssl_handshake_timeout, ssl_shutdown_timeout",
        "servers accept through asyncio, so that nothing of theirs can move",
    ),
    hook("_stop_serving", "sock", "a closed server still accepts"),
    hook(
        "_sock_connect_cb",
        "fut, sock, address",
        "a Unix connection that a full listen queue refuses is taken for made",
    ),
    hook(
        "_sendfile_native",
        "transp, file, offset, count",
        "loop.sendfile looks for asyncio's transport and fails",
    ),
]

ACCEPTS = "no protocol factory of a server can run"
NESTS = "nest_asyncio: no task can run within another"

# We call or read these.
USED = [
    Part(
        THEIRS,
        "_accept_connection2",
        "TLS connections are accepted and never served",
        "protocol_factory, conn, extra, sslcontext, server, "
        "ssl_handshake_timeout, ssl_shutdown_timeout",
    ),
    Part(THEIRS, "_check_closed", "run_forever cannot refuse a closed loop", ""),
    Part(THEIRS, "_check_running", "run_forever cannot refuse a second run", ""),
    Part(THEIRS, "_check_thread", "debug mode cannot refuse a wrong thread", ""),
    Part(
        THEIRS,
        "_check_callback",
        "debug mode cannot refuse what is no callback",
        "callback, method",
    ),
    Part(
        THEIRS,
        "_check_sendfile_params",
        "loop.sendfile does not refuse what it cannot send",
        "sock, file, offset, count",
    ),
    Part(base_events.Server, "_attach", "a server does not know its connections"),
    Part(base_events.Server, "_detach", "Server.wait_closed waits for ever"),
    Part(base_events, "_check_ssl_socket", "sock_* calls take TLS sockets", "sock"),
    Part(base_events, "_format_handle", "no warning of slow callbacks", "handle"),
    Part(events, "_event_loop_policy", "a child watcher that was set is not asked"),
    Part(tasks, "_current_tasks", NESTS),
    Part(tasks, "_register_task", ACCEPTS, "task"),
    Part(tasks, "_unregister_task", ACCEPTS, "task"),
    Part(tasks, "_enter_task", ACCEPTS, "loop, task"),
    Part(tasks, "_leave_task", ACCEPTS, "loop, task"),
    Part(events.Handle, "_run", "no callback runs in debug mode", ""),
    Part(events.Handle, "_cancelled", "debug mode runs what was cancelled"),
    Part(
        constants,
        "LOG_THRESHOLD_FOR_CONNLOST_WRITES",
        "nothing imports: writes after the end have no bound for their silence",
    ),
    Part(constants, "ACCEPT_RETRY_DELAY", "nothing imports: accepting has no pause"),
    Part(
        selector_events,
        "_SelectorSocketTransport",
        "nothing imports: whether writelines joins is asked of it",
    ),
    Part(constants, "_SendfileMode", "loop.sendfile refuses our transports"),
    Part(
        format_helpers,
        "_format_callback_source",
        "handles have no repr, and failing callbacks no report",
        "func, args",
    ),
    Part(
        futures,
        "_set_result_unless_cancelled",
        "create_connection never hears that it is connected",
        "fut, result",
    ),
    Part(
        sslproto,
        "SSLProtocol",
        "TLS does not pass over our transports",
        "loop, app_protocol, sslcontext, waiter, server_side, server_hostname, "
        "call_connection_made, ssl_handshake_timeout, ssl_shutdown_timeout",
    ),
    Part(
        transports, "_FlowControlMixin", "loop.sendfile's fallback refuses transports"
    ),
    Part(
        transports._FlowControlMixin,
        "_maybe_pause_protocol",
        "who sends datagrams too fast is not told",
        "",
    ),
    Part(
        transports._FlowControlMixin,
        "_maybe_resume_protocol",
        "who has sent datagrams too fast waits for ever",
        "",
    ),
    Part(
        unix_events,
        "_UnixReadPipeTransport",
        "nothing imports: nobody reads from pipes",
        "loop, pipe, protocol, waiter, extra",
    ),
    Part(
        unix_events._UnixReadPipeTransport,  # type: ignore[attr-defined]
        "max_size",
        "pipes are read by 256 KiB, which malloc maps anew each time",
    ),
    Part(
        unix_events,
        "_UnixSubprocessTransport",
        "nothing imports: a child process has no transport",
        "loop, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter, extra",
    ),
    Part(
        base_subprocess.BaseSubprocessTransport,
        "_process_exited",
        "nobody hears of the end of a child process",
        "returncode",
    ),
    Part(
        base_subprocess.BaseSubprocessTransport,
        "_check_proc",
        "a signal to a child process fails",
        "",
    ),
    Part(
        base_subprocess.BaseSubprocessTransport,
        "_wait",
        "a child process that could not be started is not waited for",
        "",
    ),
    Part(trsock.TransportSocket, "_sock", "loop.sendfile finds no descriptor"),
    Part(socket.socket, "_io_refs", "a socket's owner can close it under a transport"),
    Part(socket.socket, "_decref_socketios", "a transport cannot close its socket", ""),
]

# asyncio reads these on a transport, so ours has them as well.
ASKED_OF_TRANSPORTS = {
    "_start_tls_compatible": "loop.start_tls refuses our transports",
    "_sendfile_compatible": "loop.sendfile refuses our transports",
    "_protocol_paused": "loop.sendfile's fallback writes without a bound",
    "_loop": "loop.sendfile's fallback cannot wait, and writes without a bound",
    "_make_empty_waiter": "loop.sendfile overtakes what was written before",
    "_reset_empty_waiter": "a second loop.sendfile is refused",
    "_force_close": "a failed TLS handshake leaves its connection open",
    "_fatal_error": "what fails inside TLS leaves its connection open",
}

# asyncio's code and ours share these: one writes what the other reads.
STATE = {
    "_stopping": "stop() is not seen",
    "_thread_id": "is_running() is wrong",
    "_closed": "is_closed() is wrong",
    "_debug": "set_debug() is not seen",
    "_current_handle": "reports in debug mode do not name the callback",
    "_signal_handlers": "a forked copy of a loop cannot be closed",
    "_transports": "add_reader takes bytes away from a datagram transport",
    "_ssock": "signals do not reach the loop",
    "_csock": "signals do not reach the loop",
}


@pytest.mark.parametrize("part", [*HOOKS, *USED], ids=str)
def test_it_is_there_and_takes_what_we_rely_on(part: Part) -> None:
    found = inspect.getattr_static(part.owner, part.name, None)
    in_slots = part.name in getattr(part.owner, "__slots__", ())
    assert found is not None or in_slots, f"{PYTHON} has no {part}: {part.breaks}"

    if part.parameters is None:
        return
    relied_on = [name for name in part.parameters.split(", ") if name]
    declared = shape(getattr(part.owner, part.name))
    assert declared[: len(relied_on)] == relied_on, (
        f"{PYTHON} declares {part}({', '.join(declared)}), and we rely on "
        f"({part.parameters}): {part.breaks}"
    )


@pytest.mark.parametrize("loop_type", [EpollEventLoop, UringEventLoop])
@pytest.mark.parametrize("part", HOOKS, ids=str)
def test_our_hook_takes_whatever_asyncio_may_pass(
    part: Part, loop_type: type[asyncio.AbstractEventLoop]
) -> None:
    ours = inspect.signature(getattr(loop_type, part.name))
    theirs = inspect.signature(getattr(THEIRS, part.name)).parameters.values()
    by_position = [p for p in theirs if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    by_keyword = {p.name: p for p in theirs if p.kind is p.KEYWORD_ONLY}

    try:
        ours.bind(*by_position, **by_keyword)
    except TypeError as error:
        pytest.fail(f"{PYTHON} may pass more to {part} than ours takes: {error}")


@pytest.mark.parametrize("part", HOOKS, ids=str)
def test_asyncio_still_calls_the_hook(part: Part) -> None:
    """An unused hook would still exist, and nothing else would fail."""
    assert named_by_asyncio(part.name), f"{PYTHON} never calls {part}: {part.breaks}"


def test_no_other_hook_is_overridden() -> None:
    overridden = {
        name
        for loop_type in (EpollEventLoop, UringEventLoop)
        for ours in loop_type.__mro__
        if ours not in THEIRS.__mro__
        for name in vars(ours)
        if is_private(name) and hasattr(THEIRS, name)
    }

    assert overridden == {part.name for part in HOOKS}


def test_no_other_private_name_is_imported() -> None:
    tree = ast.parse(inspect.getsource(stdlib_private))
    modules = {
        *(base_events, constants, events, format_helpers, futures, selector_events),
        *(sslproto, tasks, transports, unix_events),
    }

    taken = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr)
    }

    owners = {*modules, base_events.Server, socket.socket}
    known = {part.name for part in USED if part.owner in owners}
    # That one is for Python 3.14 and later.
    assert taken <= known | {"_swap_current_task"}


@pytest.mark.parametrize("name", ASKED_OF_TRANSPORTS)
def test_asyncio_asks_a_transport_for_it(name: str) -> None:
    breaks = ASKED_OF_TRANSPORTS[name]
    assert named_by_asyncio(name), f"{PYTHON} asks for no {name}: {breaks}"
    assert hasattr(THEIR_TRANSPORT, name), f"{PYTHON} has no {name}: {breaks}"
    assert name in vars(StreamTransport)


@pytest.mark.parametrize("name", ["_loop", "_pid", "_proc"])
def test_a_transport_of_a_child_process_keeps_it_under_this_name(name: str) -> None:
    source = inspect.getsource(base_subprocess.BaseSubprocessTransport.__init__)
    assert f"self.{name} = " in source, f"{PYTHON} keeps no {name}"


@pytest.mark.skipif(PYTHON_HAS_NO_WATCHERS, reason="child watchers are gone since 3.14")
def test_a_policy_keeps_its_child_watcher_under_this_name() -> None:
    policy = asyncio.DefaultEventLoopPolicy()
    assert hasattr(policy, "_watcher"), f"{PYTHON}: a watcher that was set is not asked"


@pytest.mark.parametrize("name", STATE)
def test_asyncio_keeps_it_under_this_name(name: str) -> None:
    with closing(THEIRS()) as loop:
        assert name in vars(loop), f"{PYTHON} keeps no {name}: {STATE[name]}"
    assert named_by_asyncio(name), f"{PYTHON} uses no {name}: {STATE[name]}"


@pytest.mark.parametrize(
    ("name", "change", "value"),
    [
        ("_stopping", THEIRS.stop, True),
        ("_debug", lambda loop: loop.set_debug(True), True),
        ("_closed", THEIRS.close, True),
    ],
)
def test_asyncio_writes_what_the_iteration_reads(
    name: str, change: Callable[[Any], None], value: object
) -> None:
    with closing(THEIRS()) as loop:
        change(loop)
        assert getattr(loop, name) is value, STATE[name]


def test_a_tls_protocol_has_its_applications_transport() -> None:
    assert named_by_asyncio("_app_transport"), f"{PYTHON}: TLS gets no transport"


# -- How run_forever calls the iteration.


class ScriptedTurns(asyncio.SelectorEventLoop):
    """Stops in the given iteration; run_forever must go on until then."""

    def __init__(self, stops_in: int) -> None:
        super().__init__()
        self._stops_in = stops_in
        self.threads: list[int | None] = []

    def _run_once(self) -> None:
        self.threads.append(self._thread_id)  # type: ignore[attr-defined]
        if len(self.threads) == self._stops_in:
            self._stopping = True


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_run_forever_runs_iterations_until_it_is_stopping(iterations: int) -> None:
    """Our hook runs many iterations per call and returns once ``_stopping`` is set."""
    with closing(ScriptedTurns(stops_in=iterations)) as loop:
        loop.run_forever()

        assert loop.threads == [threading.get_ident()] * iterations
        assert loop._stopping is False, "the next run would stop at once"
        assert loop._thread_id is None  # type: ignore[attr-defined]


def test_run_forever_ends_with_what_an_iteration_raises() -> None:
    class Raises(asyncio.SelectorEventLoop):
        def _run_once(self) -> None:
            raise KeyboardInterrupt

    with closing(Raises()) as loop:
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        assert not loop.is_running()


# -- Inspecting asyncio.


def named_by_asyncio(name: str) -> bool:
    return name in NAMED_BY_ASYNCIO


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def shape(called: Callable[..., Any]) -> list[str]:
    """Its parameters' names without self, with "*" before the keyword-only ones."""
    shape: list[str] = []
    starred = False
    for parameter in inspect.signature(called).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shape.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        shape.append(star + parameter.name)
    return shape[1:] if shape[:1] == ["self"] else shape


def names_in_functions(code: types.CodeType) -> Iterator[str]:
    # A class body's names are those it defines; a function's, those it uses.
    if code.co_flags & inspect.CO_OPTIMIZED:
        yield from code.co_names
        # getattr(transport, "_sendfile_compatible", ...)
        yield from (name for name in code.co_consts if isinstance(name, str))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from names_in_functions(inner)


NAMED_BY_ASYNCIO = {
    name
    for module in (base_events, events, selector_events, sslproto, unix_events)
    for name in names_in_functions(
        compile(inspect.getsource(module), module.__name__, "exec")
    )
}
