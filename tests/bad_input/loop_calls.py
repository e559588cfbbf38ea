"""Every public method of a loop, with a valid value for each parameter."""

import signal
import socket
from typing import Any

from parity.protocols import Recorder

from .bench import Bench
from .odd import (
    NUMBERS,
    THINGS,
    Call,
    coroutine,
    keyword,
    left_out,
    right,
)

DNS = ("a str", "bytes")
"""Host names that would be looked up on a network."""

VIEWS = ("a bytearray", "a memoryview", "a view of every other byte", "a view of ints")


def noop(*_: Any) -> None: ...


def cancel(_: Bench, handle: Any) -> None:
    handle.cancel()


def forget(*_: Any) -> None: ...


def our_end(bench: Bench) -> socket.socket:
    return bench.pair()[0]


def readable(bench: Bench) -> socket.socket:
    ours, theirs = bench.pair()
    theirs.send(b"sent")
    return ours


def tcp_listener(bench: Bench) -> socket.socket:
    return bench.listening()


def acceptable(bench: Bench) -> socket.socket:
    listener = bench.listening()
    bench.stack.enter_context(socket.create_connection(listener.getsockname()))
    return listener


def address(bench: Bench) -> Any:
    return bench.listening().getsockname()


def udp(bench: Bench) -> socket.socket:
    sock = bench.sock(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def udp_readable(bench: Bench) -> socket.socket:
    sock = udp(bench)
    sender = bench.sock(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"sent", sock.getsockname())
    return sock


def free_path(bench: Bench) -> str:
    return f"{bench.folder()}/socket"


def listening_path(bench: Bench) -> str:
    path = free_path(bench)
    listener = bench.sock(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return path


callback = right("callback", lambda _: noop)
protocol_factory = right("protocol_factory", lambda _: Recorder)
sock = right("sock", our_end)
context = keyword("context")

SCHEDULING = [
    Call("call_soon", (callback, context), after=forget),
    Call("call_soon_threadsafe", (callback, context), after=forget),
    Call("call_later", (right("delay", lambda _: 0), callback, context), after=cancel),
    Call("call_at", (right("when", lambda _: 0), callback, context), after=cancel),
    Call(
        "create_task",
        # A task with an invalid context never runs a step, so it is never done.
        (right("coro", coroutine), keyword("name")),
    ),
    Call(
        "run_in_executor",
        (right("executor", lambda _: None), right("func", lambda _: noop)),
    ),
    Call("set_default_executor", (right("executor", left_out),)),
    Call("set_task_factory", (right("factory", lambda _: None),)),
    Call("set_exception_handler", (right("handler", lambda _: None),)),
    Call("call_exception_handler", (right("context", lambda _: {"message": "m"}),)),
    Call(
        "run_until_complete",
        (right("future", coroutine, but=["a future"]),),
        outside=True,
    ),
    Call("run_until_complete", (right("future", coroutine),)),
]

READERS = [
    *(
        Call(name, (right("fd", our_end), callback), after=forget)
        for name in ("add_reader", "add_writer")
    ),
    *(
        Call(name, (right("fd", our_end),))
        for name in ("remove_reader", "remove_writer")
    ),
]

SIGNALS = [
    Call(
        "add_signal_handler",
        (right("sig", lambda _: signal.SIGUSR1), right("callback", lambda _: noop)),
        after=lambda bench, _: bench.loop.remove_signal_handler(signal.SIGUSR1),
    ),
    Call("remove_signal_handler", (right("sig", lambda _: signal.SIGUSR1),)),
]

SOCK_CALLS = [
    Call("sock_recv", (right("sock", readable), right("n", lambda _: 4))),
    Call(
        "sock_recv_into",
        (right("sock", readable), right("buf", lambda _: bytearray(4))),
    ),
    Call("sock_recvfrom", (right("sock", udp_readable), right("bufsize", lambda _: 4))),
    Call(
        "sock_recvfrom_into",
        (
            right("sock", udp_readable),
            right("buf", lambda _: bytearray(4)),
            right("nbytes", lambda _: 4),
        ),
    ),
    Call(
        "sock_sendall",
        (
            right("sock", our_end),
            # asyncio counts the items of a view, and waits forever to send the rest.
            right("data", lambda _: b"x", but=["a view of ints", "a view of a matrix"]),
        ),
    ),
    Call(
        "sock_sendto",
        (
            right("sock", udp),
            right("data", lambda _: b"x"),
            right("address", lambda bench: udp(bench).getsockname(), but=DNS),
        ),
    ),
    Call(
        "sock_connect",
        (
            right("sock", Bench.sock, but=["a listening socket"]),
            right("address", address, but=DNS),
        ),
    ),
    Call(
        "sock_accept",
        (right("sock", acceptable, but=["a listening socket"]),),
        after=forget,
    ),
    Call(
        "sock_sendfile",
        (
            sock,
            right("file", Bench.file),
            right("offset", lambda _: 0),
            right("count", lambda _: 3),
            keyword("fallback"),
        ),
    ),
]

CONNECTING = [
    Call(
        "create_connection",
        (
            protocol_factory,
            keyword("sock", make=our_end),
            keyword("ssl", but=["True"]),
            keyword("server_hostname"),
            keyword("ssl_handshake_timeout"),
            keyword("ssl_shutdown_timeout"),
            keyword("local_addr"),
            keyword("host", but=DNS),
        ),
    ),
    Call(
        "create_connection",
        (
            protocol_factory,
            right("host", lambda _: "127.0.0.1", but=DNS),
            right("port", lambda bench: address(bench)[1], but=["True"]),
            keyword("family"),
            keyword("proto"),
            keyword("flags"),
            keyword("local_addr"),
            keyword("happy_eyeballs_delay", but=["a future", "a coroutine"]),
            keyword("interleave"),
        ),
    ),
    Call(
        "create_unix_connection",
        (
            protocol_factory,
            right("path", listening_path),
            keyword("sock"),
            keyword("server_hostname"),
            keyword("ssl", but=["True"]),
        ),
    ),
    Call("connect_accepted_socket", (protocol_factory, right("sock", our_end))),
    Call(
        "connect_accepted_socket",
        (
            protocol_factory,
            right("sock", our_end),
            keyword("ssl"),
            keyword("ssl_handshake_timeout"),
            keyword("ssl_shutdown_timeout"),
        ),
    ),
    Call(
        "create_datagram_endpoint",
        (
            protocol_factory,
            keyword("local_addr", make=lambda _: ("127.0.0.1", 0)),
            keyword("remote_addr"),
            keyword("family"),
            keyword("proto"),
            keyword("flags"),
            keyword("reuse_port"),
            keyword("allow_broadcast"),
            keyword("sock"),
        ),
    ),
    Call("create_datagram_endpoint", (protocol_factory, keyword("sock", make=udp))),
]

SERVERS = [
    Call(
        "create_server",
        (
            protocol_factory,
            right("host", lambda _: "127.0.0.1", but=DNS),
            right("port", lambda _: 0, but=["True"]),
            keyword("family"),
            keyword("flags"),
            keyword("backlog"),
            keyword("ssl"),
            keyword("reuse_address"),
            keyword("reuse_port"),
            keyword("ssl_handshake_timeout"),
            keyword("ssl_shutdown_timeout"),
            keyword("start_serving"),
            keyword("sock"),
        ),
    ),
    Call("create_server", (protocol_factory, keyword("sock", make=tcp_listener))),
    Call(
        "create_unix_server",
        (
            protocol_factory,
            right("path", free_path, but=["a str", "bytes", "the loop", *VIEWS]),
            keyword("sock"),
            keyword("backlog"),
            keyword("ssl"),
            keyword("ssl_handshake_timeout"),
            keyword("start_serving"),
        ),
    ),
]

PIPES = [
    Call("connect_read_pipe", (protocol_factory, right("pipe", lambda b: b.pipe()[0]))),
    Call(
        "connect_write_pipe", (protocol_factory, right("pipe", lambda b: b.pipe()[1]))
    ),
]

NAMES = [
    Call(
        "getaddrinfo",
        (
            right("host", lambda _: "127.0.0.1", THINGS, NUMBERS, but=DNS),
            right("port", lambda _: 80),
            keyword("family"),
            keyword("type"),
            keyword("proto"),
            keyword("flags"),
        ),
    ),
    Call(
        "getnameinfo",
        (
            right("sockaddr", lambda _: ("127.0.0.1", 80)),
            right("flags", lambda _: socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        ),
    ),
]

CALLS = [
    *SCHEDULING,
    *READERS,
    *SIGNALS,
    *SOCK_CALLS,
    *CONNECTING,
    *SERVERS,
    *PIPES,
    *NAMES,
]

DEBUGGED = [*SCHEDULING, *READERS, *SIGNALS, *SOCK_CALLS]
"""Calls that debug mode checks more strictly."""

COVERED_ELSEWHERE = {
    # These have rows of their own in other_rows.py.
    *("sendfile", "start_tls", "subprocess_exec", "subprocess_shell"),
    # These take no arguments or only read state.
    *("get_debug", "get_exception_handler", "get_task_factory"),
    *("default_exception_handler", "slow_callback_duration"),
}
