"""Loops in the wrong state or on the wrong thread, and conflicting arguments."""

import asyncio
import concurrent.futures
import signal
import socket
from collections.abc import Callable
from typing import Any

from parity.protocols import Recorder

from .bench import Bench, Row, contexts
from .loop_calls import acceptable, noop, our_end
from .odd import coroutine, coroutine_function

Call = Callable[[Bench], Any]

# -- A closed loop.

CLOSED: dict[str, Call] = {
    "call_soon": lambda bench: bench.loop.call_soon(noop),
    "call_soon_threadsafe": lambda bench: bench.loop.call_soon_threadsafe(noop),
    "call_later": lambda bench: bench.loop.call_later(1, noop),
    "call_later of None": lambda bench: bench.loop.call_later(None, noop),
    "call_at": lambda bench: bench.loop.call_at(1, noop),
    "call_at of None": lambda bench: bench.loop.call_at(None, noop),
    "create_future": lambda bench: bench.loop.create_future(),
    "create_task": lambda bench: bench.loop.create_task(coroutine(bench)),
    "run_forever": lambda bench: bench.loop.run_forever(),
    "run_until_complete": lambda bench: bench.loop.run_until_complete(coroutine(bench)),
    "run_until_complete of None": lambda bench: bench.loop.run_until_complete(None),
    "run_in_executor": lambda bench: bench.loop.run_in_executor(None, noop),
    "stop": lambda bench: bench.loop.stop(),
    "close": lambda bench: bench.loop.close(),
    "is_running": lambda bench: bench.loop.is_running(),
    "is_closed": lambda bench: bench.loop.is_closed(),
    "time": lambda bench: bench.loop.time() > 0,
    "add_reader": lambda bench: bench.loop.add_reader(our_end(bench), noop),
    "add_reader of None": lambda bench: bench.loop.add_reader(None, noop),
    "add_writer": lambda bench: bench.loop.add_writer(our_end(bench), noop),
    "remove_reader": lambda bench: bench.loop.remove_reader(our_end(bench)),
    "remove_reader of None": lambda bench: bench.loop.remove_reader(None),
    "remove_writer": lambda bench: bench.loop.remove_writer(our_end(bench)),
    "add_signal_handler": lambda bench: bench.loop.add_signal_handler(
        signal.SIGUSR1, noop
    ),
    "remove_signal_handler": lambda bench: bench.loop.remove_signal_handler(
        signal.SIGUSR1
    ),
    "create_connection": lambda bench: step(
        bench.loop.create_connection(Recorder, sock=our_end(bench))
    ),
    "create_server on sock": lambda bench: step(
        bench.loop.create_server(Recorder, sock=bench.listening())
    ),
    "create_server not started": lambda bench: step(
        bench.loop.create_server(Recorder, sock=bench.listening(), start_serving=False)
    ),
    "connect_accepted_socket": lambda bench: step(
        bench.loop.connect_accepted_socket(Recorder, our_end(bench))
    ),
    "create_datagram_endpoint": lambda bench: step(
        bench.loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
    ),
    "connect_read_pipe": lambda bench: step(
        bench.loop.connect_read_pipe(Recorder, bench.pipe()[0])
    ),
    "sock_recv": lambda bench: step(bench.loop.sock_recv(our_end(bench), 1)),
    "sock_sendall": lambda bench: step(bench.loop.sock_sendall(our_end(bench), b"x")),
    "sock_accept": lambda bench: step(bench.loop.sock_accept(bench.listening())),
    "sock_connect": lambda bench: step(
        bench.loop.sock_connect(bench.sock(), bench.listening().getsockname())
    ),
    "getaddrinfo": lambda bench: step(bench.loop.getaddrinfo("127.0.0.1", 80)),
    "shutdown_asyncgens": lambda bench: step(bench.loop.shutdown_asyncgens()),
    "shutdown_default_executor": lambda bench: step(
        bench.loop.shutdown_default_executor()
    ),
    "set_debug": lambda bench: bench.loop.set_debug(True),
    "repr": lambda bench: repr(bench.loop),
}


def step(awaitable: Any) -> Any:
    """Run one step of a coroutine without a loop."""
    try:
        awaitable.send(None)
    except StopIteration as end:
        if isinstance(end.value, asyncio.Server):
            end.value.close()
        return type(end.value).__name__
    finally:
        awaitable.close()
    return "waits"


def after_close(call: Call) -> Call:
    def act(bench: Bench) -> Any:
        bench.loop.close()
        return call(bench)

    return act


CLOSED_LOOP = [
    Row(f"{name}, on a closed loop", after_close(call), outside=True, closes=True)
    for name, call in CLOSED.items()
]

# -- A running loop.

RUNNING_LOOP = [
    Row("close, while it runs", lambda bench: bench.loop.close()),
    Row("run_forever, while it runs", lambda bench: bench.loop.run_forever()),
    Row(
        "run_until_complete, while it runs",
        lambda bench: bench.loop.run_until_complete(bench.loop.create_future()),
    ),
    Row(
        "asyncio.run, while it runs",
        lambda bench: asyncio.run(coroutine(bench)),
    ),
    Row(
        "run_until_complete of a stopped loop",
        lambda bench: bench.loop.run_until_complete(stopping(bench)),
        outside=True,
    ),
    Row(
        "run_until_complete of another loop's future",
        lambda bench: bench.loop.run_until_complete(of_another_loop(bench)),
        outside=True,
    ),
    Row(
        "another loop runs while it runs",
        lambda bench: another(bench).run_forever(),
    ),
    Row("awaiting another loop's future", lambda bench: of_another_loop(bench)),
]


def another(bench: Bench) -> Any:
    loop = type(bench.loop)()
    bench.stack.callback(loop.close)
    return loop


def of_another_loop(bench: Bench) -> Any:
    return another(bench).create_future()


def stopping(bench: Bench) -> Any:
    bench.loop.call_soon(bench.loop.stop)
    return bench.loop.create_future()


# -- Other threads.


def elsewhere(call: Call) -> Call:
    def act(bench: Bench) -> Any:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(call, bench).result()

    return act


FROM_ELSEWHERE: dict[str, Call] = {
    "call_soon": lambda bench: bench.loop.call_soon(noop) and None,
    "call_later": lambda bench: bench.loop.call_later(0, noop).cancel(),
    "call_at": lambda bench: bench.loop.call_at(0, noop).cancel(),
    "call_soon_threadsafe": lambda bench: (
        bench.loop.call_soon_threadsafe(noop) and None
    ),
    "create_task": lambda bench: bench.loop.create_task(coroutine(bench)) and None,
    "add_signal_handler": lambda bench: bench.loop.add_signal_handler(
        signal.SIGUSR1, noop
    ),
    "run_forever": lambda bench: bench.loop.run_forever(),
    "close": lambda bench: bench.loop.close(),
    "future.set_result": lambda bench: completed(bench).set_result(None),
}


def completed(bench: Bench) -> Any:
    future = bench.loop.create_future()
    future.add_done_callback(noop)
    return future


OTHER_THREADS = [
    Row(f"{name}, on another thread{', debug' * debug}", elsewhere(call), debug=debug)
    for name, call in FROM_ELSEWHERE.items()
    for debug in (False, True)
]

# -- Conflicting arguments.


def disagreeing() -> list[Row]:
    _server_tls, client_tls = contexts()
    calls: dict[str, Call] = {
        "create_server of nothing": lambda b: b.loop.create_server(Recorder),
        "create_server of host and sock": lambda b: b.loop.create_server(
            Recorder, "127.0.0.1", 0, sock=b.listening()
        ),
        "create_server of a datagram socket": lambda b: b.loop.create_server(
            Recorder, sock=b.sock(socket.AF_INET, socket.SOCK_DGRAM)
        ),
        "create_server of a port that is taken": lambda b: b.loop.create_server(
            Recorder, *b.listening().getsockname()
        ),
        "create_server of a foreign address": lambda b: b.loop.create_server(
            Recorder, "192.0.2.1", 0
        ),
        "create_server of ssl=True": lambda b: b.loop.create_server(
            Recorder, "127.0.0.1", 0, ssl=True
        ),
        "create_server of a timeout without ssl": lambda b: b.loop.create_server(
            Recorder, "127.0.0.1", 0, ssl_handshake_timeout=1.0
        ),
        "create_server of a shutdown timeout only": lambda b: b.loop.create_server(
            Recorder, "127.0.0.1", 0, ssl_shutdown_timeout=1.0
        ),
        "create_connection of nothing": lambda b: b.loop.create_connection(Recorder),
        "create_connection of host and sock": lambda b: b.loop.create_connection(
            Recorder, "127.0.0.1", 1, sock=our_end(b)
        ),
        "create_connection of a datagram socket": lambda b: b.loop.create_connection(
            Recorder, sock=b.sock(socket.AF_INET, socket.SOCK_DGRAM)
        ),
        "create_connection of server_hostname alone": lambda b: (
            b.loop.create_connection(
                Recorder, sock=our_end(b), server_hostname="localhost"
            )
        ),
        "create_connection of ssl and a sock without a name": lambda b: (
            b.loop.create_connection(Recorder, sock=our_end(b), ssl=client_tls)
        ),
        "create_connection of ssl_handshake_timeout=0": lambda b: (
            b.loop.create_connection(
                Recorder,
                sock=our_end(b),
                ssl=client_tls,
                server_hostname="localhost",
                ssl_handshake_timeout=0,
            )
        ),
        "create_connection of ssl_shutdown_timeout=-1": lambda b: (
            b.loop.create_connection(
                Recorder,
                sock=our_end(b),
                ssl=client_tls,
                server_hostname="localhost",
                ssl_shutdown_timeout=-1,
            )
        ),
        "create_connection to nobody": lambda b: b.loop.create_connection(
            Recorder, *free_address(b)
        ),
        "create_connection to nobody, all errors": lambda b: b.loop.create_connection(
            Recorder, *free_address(b), happy_eyeballs_delay=0.1
        ),
        "create_connection from a foreign address": lambda b: b.loop.create_connection(
            Recorder, *b.listening().getsockname(), local_addr=("192.0.2.1", 0)
        ),
        "create_connection of a wrong family": lambda b: b.loop.create_connection(
            Recorder, *b.listening().getsockname(), family=socket.AF_INET6
        ),
        "create_unix_connection of path and sock": lambda b: (
            b.loop.create_unix_connection(Recorder, "/x", sock=our_end(b))
        ),
        "create_unix_connection of a TCP socket": lambda b: (
            b.loop.create_unix_connection(Recorder, sock=b.sock())
        ),
        "create_unix_connection to no file": lambda b: b.loop.create_unix_connection(
            Recorder, f"{b.folder()}/none"
        ),
        "create_unix_server of path and sock": lambda b: b.loop.create_unix_server(
            Recorder, "/x", sock=our_end(b)
        ),
        "create_unix_server in no folder": lambda b: b.loop.create_unix_server(
            Recorder, f"{b.folder()}/none/socket"
        ),
        "create_unix_server of a long path": lambda b: b.loop.create_unix_server(
            Recorder, f"{b.folder()}/{'x' * 200}"
        ),
        "connect_accepted_socket of a listener": lambda b: (
            b.loop.connect_accepted_socket(Recorder, b.listening())
        ),
        "connect_accepted_socket of a datagram socket": lambda b: (
            b.loop.connect_accepted_socket(
                Recorder, b.sock(socket.AF_INET, socket.SOCK_DGRAM)
            )
        ),
        "create_datagram_endpoint of sock and address": lambda b: (
            b.loop.create_datagram_endpoint(
                asyncio.DatagramProtocol,
                sock=b.sock(socket.AF_INET, socket.SOCK_DGRAM),
                local_addr=("127.0.0.1", 0),
            )
        ),
        "create_datagram_endpoint of a stream socket": lambda b: (
            b.loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=b.sock())
        ),
        "create_datagram_endpoint of nothing": lambda b: (
            b.loop.create_datagram_endpoint(asyncio.DatagramProtocol)
        ),
        "add_reader of a transport's socket": on_transport("add_reader"),
        "add_writer of a transport's socket": on_transport("add_writer"),
        "remove_reader of a transport's socket": on_transport("remove_reader"),
        "sock_recv of a transport's socket": on_transport("sock_recv", 1),
        "sock_sendall of a transport's socket": on_transport("sock_sendall", b"x"),
        "sock_accept twice at once": lambda b: b.loop.sock_accept(acceptable(b)),
        "run_coroutine_threadsafe of a function": lambda b: (
            asyncio.run_coroutine_threadsafe(coroutine_function, b.loop)  # type: ignore[arg-type]
        ),
        "sleep of a negative time": lambda b: asyncio.sleep(-1),
        "add_signal_handler of SIGKILL": lambda b: b.loop.add_signal_handler(
            signal.SIGKILL, noop
        ),
        "add_signal_handler of a coroutine": lambda b: b.loop.add_signal_handler(
            signal.SIGUSR1, coroutine_function
        ),
    }
    return [Row(name, call) for name, call in calls.items()]


def free_address(bench: Bench) -> Any:
    with bench.listening() as listener:
        return listener.getsockname()


def on_transport(method: str, *args: Any) -> Call:
    async def act(bench: Bench) -> Any:
        transport, _ = await bench.transport()
        sock = transport.get_extra_info("socket")
        given = args or ((noop,) if method.startswith("add") else ())
        answer = getattr(bench.loop, method)(sock, *given)
        return await answer if asyncio.iscoroutine(answer) else answer

    return act


# -- Timers.


def in_order(*delays: float) -> Call:
    async def act(bench: Bench) -> Any:
        ran: list[float] = []
        for delay in delays:
            bench.loop.call_later(delay, ran.append, delay)
        done = bench.loop.create_future()
        bench.loop.call_later(0.001, done.set_result, None)
        await done
        return ran

    return act


TIMERS = [
    Row("negative delays keep their order", in_order(-1, -3, -2, 0)),
    Row("a NaN delay runs at once", in_order(float("nan"))),
    Row("an infinite negative delay", in_order(0.0, float("-inf"))),
]

ROWS = [*CLOSED_LOOP, *RUNNING_LOOP, *OTHER_THREADS, *TIMERS]
