"""Wrong calls of servers, datagrams, subprocesses, pipes, sendfile and start_tls."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from parity.protocols import Recorder

from .bench import Bench, Row, contexts
from .odd import Make

Call = Callable[[Bench], Any]

# -- Servers.


async def server(bench: Bench) -> Any:
    made = await bench.loop.create_server(Recorder, "127.0.0.1", 0)
    bench.stack.callback(made.close)
    return made


async def twice_forever(server: Any) -> None:
    first = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    try:
        await server.serve_forever()
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def cancelled_forever(server: Any) -> Any:
    first = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    return server.sockets, server.is_serving()


async def closed(server: Any, then: Callable[[Any], Any]) -> Any:
    server.close()
    answer = then(server)
    return await answer if asyncio.iscoroutine(answer) else answer


SERVER: dict[str, Callable[[Any], Any]] = {
    "close twice": lambda server: closed(server, lambda it: it.close()),
    "wait_closed": lambda server: closed(server, lambda it: it.wait_closed()),
    "start_serving twice": lambda server: server.start_serving(),
    "start_serving when closed": lambda server: closed(
        server, lambda it: it.start_serving()
    ),
    "serve_forever when closed": lambda server: closed(
        server, lambda it: it.serve_forever()
    ),
    "serve_forever twice": twice_forever,
    "serve_forever cancelled": cancelled_forever,
    "sockets when closed": lambda server: closed(server, lambda it: it.sockets),
    "is_serving when closed": lambda server: closed(server, lambda it: it.is_serving()),
    "repr when closed": lambda server: closed(server, repr),
    "aenter when closed": lambda server: closed(server, lambda it: it.__aenter__()),
    "recv of its socket": lambda server: server.sockets[0].recv(1),
    **(
        {
            "close_clients when closed": lambda server: closed(
                server, lambda it: it.close_clients()
            ),
            "abort_clients when closed": lambda server: closed(
                server, lambda it: it.abort_clients()
            ),
            "close_clients of none": lambda server: server.close_clients(),
        }
        if sys.version_info >= (3, 13)
        else {}
    ),
}

# -- Datagrams.


async def datagrams(bench: Bench) -> Any:
    transport, _ = await bench.loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    bench.transports.append(transport)
    return transport


async def connected_datagrams(bench: Bench) -> Any:
    other = await datagrams(bench)
    transport, _ = await bench.loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=other.get_extra_info("sockname")
    )
    bench.transports.append(transport)
    return transport


def own(transport: Any) -> Any:
    return transport.get_extra_info("sockname")


DATAGRAMS: dict[str, Callable[[Any], Any]] = {
    "sendto nobody": lambda transport: transport.sendto(b"x"),
    "sendto of nothing": lambda transport: transport.sendto(b"", own(transport)),
    "sendto a bad port": lambda transport: transport.sendto(b"x", ("127.0.0.1", -1)),
    "sendto a host only": lambda transport: transport.sendto(b"x", "127.0.0.1"),
    "sendto too much": lambda transport: transport.sendto(
        bytes(70_000), own(transport)
    ),
    "sendto when closed": lambda transport: [
        transport.close(),
        transport.sendto(b"x", own(transport)),
    ],
    "close twice": lambda transport: [transport.close(), transport.close()],
    "abort twice": lambda transport: [transport.abort(), transport.abort()],
    "set_protocol of None": lambda transport: transport.set_protocol(None),
    "get_protocol": lambda transport: type(transport.get_protocol()).__name__,
}

CONNECTED_DATAGRAMS: dict[str, Callable[[Any], Any]] = {
    "sendto another": lambda transport: transport.sendto(b"x", ("127.0.0.1", 9)),
    "sendto nobody": lambda transport: transport.sendto(b"x"),
    "sendto its own": lambda transport: transport.sendto(
        b"x", transport.get_extra_info("peername")
    ),
}

# -- Pipes.


async def write_pipe(bench: Bench) -> Any:
    transport, _ = await bench.loop.connect_write_pipe(
        asyncio.BaseProtocol, bench.pipe()[1]
    )
    bench.transports.append(transport)
    return transport


async def read_pipe(bench: Bench) -> Any:
    transport, _ = await bench.loop.connect_read_pipe(Recorder0, bench.pipe()[0])
    bench.transports.append(transport)
    return transport


class Recorder0(asyncio.Protocol):
    pass


WRITE_PIPE: dict[str, Callable[[Any], Any]] = {
    "close twice": lambda pipe: [pipe.close(), pipe.close()],
    "write_eof twice": lambda pipe: [pipe.write_eof(), pipe.write_eof()],
    "write when closed": lambda pipe: [pipe.close(), pipe.write(b"x")],
    "write nothing": lambda pipe: pipe.write(b""),
    "can_write_eof": lambda pipe: pipe.can_write_eof(),
    "set_write_buffer_limits": lambda pipe: pipe.set_write_buffer_limits(1, 2),
}

READ_PIPE: dict[str, Callable[[Any], Any]] = {
    "close twice": lambda pipe: [pipe.close(), pipe.close()],
    "pause when closed": lambda pipe: [pipe.close(), pipe.pause_reading()],
    "resume unpaused": lambda pipe: pipe.resume_reading(),
    "pause twice": lambda pipe: [pipe.pause_reading(), pipe.pause_reading()],
}

# -- Subprocesses.


async def process(bench: Bench) -> Any:
    protocol = Process()
    transport, _ = await bench.loop.subprocess_exec(
        lambda: protocol, "/bin/cat", stdout=None, stderr=None
    )
    bench.transports.append(transport)
    bench.endings.append(protocol.ended)
    return transport


class Process(asyncio.SubprocessProtocol):
    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    def process_exited(self) -> None:
        self.ended.set_result(None)


async def ended(transport: Any, then: Callable[[Any], Any]) -> Any:
    transport.kill()
    await transport.get_protocol().ended
    return then(transport)


PROCESS: dict[str, Callable[[Any], Any]] = {
    "get_pipe_transport of no pipe": lambda process: process.get_pipe_transport(7),
    "get_pipe_transport of a str": lambda process: process.get_pipe_transport("stdin"),
    "send_signal of a str": lambda process: process.send_signal("text"),
    "send_signal of no signal": lambda process: process.send_signal(10_000),
    "send_signal when ended": lambda process: ended(
        process, lambda it: it.send_signal(signal.SIGTERM)
    ),
    "kill when ended": lambda process: ended(process, lambda it: it.kill()),
    "terminate when ended": lambda process: ended(process, lambda it: it.terminate()),
    "returncode when ended": lambda process: ended(
        process, lambda it: it.get_returncode()
    ),
    "close twice": lambda process: [process.close(), process.close()],
    "kill when closed": lambda process: [process.close(), process.kill()],
}


def new_process(*args: Any, **options: Any) -> Call:
    return lambda bench: bench.loop.subprocess_exec(
        asyncio.SubprocessProtocol, *args, **options
    )


NEW_PROCESS: dict[str, Call] = {
    "of no program": new_process("/proc/none/program"),
    "of a folder": new_process("/"),
    "of nothing": new_process(),
    "of None": new_process(None),
    "of an int": new_process(3),
    "of a str with a null": new_process("/bin/true\0"),
    "with an int to give": new_process("/bin/true", 3),
    "in no folder": new_process("/bin/true", cwd="/proc/none/folder"),
    "with text": new_process("/bin/true", text=True),
    "with universal_newlines": new_process("/bin/true", universal_newlines=True),
    "with an encoding": new_process("/bin/true", encoding="utf-8"),
    "with errors": new_process("/bin/true", errors="strict"),
    "with a shell": new_process("/bin/true", shell=True),
    "with a buffer": new_process("/bin/true", bufsize=10),
    "with a bad stdin": new_process("/bin/true", stdin="text"),
    "with a closed stdout": new_process("/bin/true", stdout=999_999),
    "with an unknown option": new_process("/bin/true", unknown=1),
    "with an unknown user": new_process("/bin/true", user="nobody-of-this-name"),
    "of a shell of bytes and no program": lambda bench: bench.loop.subprocess_shell(
        asyncio.SubprocessProtocol, None
    ),
    "of a shell without a shell": lambda bench: bench.loop.subprocess_shell(
        asyncio.SubprocessProtocol, "true", shell=False
    ),
    "of a shell of a list": lambda bench: bench.loop.subprocess_shell(
        asyncio.SubprocessProtocol, ["true"]
    ),
}

# -- sendfile and start_tls.


def sending(call: Callable[[Bench, Any], Any]) -> Call:
    async def act(bench: Bench) -> Any:
        transport, _ = await bench.transport()
        return await call(bench, transport)

    return act


async def closed_first(bench: Bench, transport: Any) -> Any:
    transport.close()
    return await bench.loop.sendfile(transport, bench.file())


async def ended_first(bench: Bench, transport: Any) -> Any:
    transport.write_eof()
    return await bench.loop.sendfile(transport, bench.file())


async def written_meanwhile(bench: Bench, transport: Any) -> Any:
    sent = asyncio.ensure_future(bench.loop.sendfile(transport, bench.file()))
    await asyncio.sleep(0)
    try:
        return transport.write(b"x")
    finally:
        await asyncio.gather(sent, return_exceptions=True)


SENDFILE: dict[str, Callable[[Bench, Any], Any]] = {
    "of a text file": lambda b, it: b.loop.sendfile(it, b.text_file()),
    "of a closed file": lambda b, it: b.loop.sendfile(it, b.closed_file()),
    "of None": lambda b, it: b.loop.sendfile(it, None),
    "of bytes": lambda b, it: b.loop.sendfile(it, b"x"),
    "of a pipe": lambda b, it: b.loop.sendfile(it, b.pipe()[0], fallback=False),
    "from -1": lambda b, it: b.loop.sendfile(it, b.file(), -1),
    "from 1.5": lambda b, it: b.loop.sendfile(it, b.file(), 1.5),
    "from None": lambda b, it: b.loop.sendfile(it, b.file(), None),
    "from behind the end": lambda b, it: b.loop.sendfile(it, b.file(), 100),
    "from 2**63": lambda b, it: b.loop.sendfile(it, b.file(), 2**63),
    "of -1 bytes": lambda b, it: b.loop.sendfile(it, b.file(), 0, -1),
    "of 0 bytes": lambda b, it: b.loop.sendfile(it, b.file(), 0, 0),
    "of 1.5 bytes": lambda b, it: b.loop.sendfile(it, b.file(), 0, 1.5),
    "of a str of bytes": lambda b, it: b.loop.sendfile(it, b.file(), 0, "1"),
    "to a closed transport": closed_first,
    "to an ended transport": ended_first,
    "with a write meanwhile": written_meanwhile,
    "to None": lambda b, _: b.loop.sendfile(None, b.file()),
    "to a base transport": lambda b, _: b.loop.sendfile(asyncio.Transport(), b.file()),
}


def tls(**options: Any) -> Callable[[Bench, Any], Any]:
    def act(bench: Bench, transport: Any) -> Any:
        given = {"transport": transport, "protocol": Recorder(), **options}
        given.setdefault("sslcontext", contexts()[1])
        return bench.loop.start_tls(**given)

    return act


START_TLS: dict[str, Callable[[Bench, Any], Any]] = {
    "of no context": tls(sslcontext=None),
    "of True": tls(sslcontext=True),
    "of None": tls(transport=None),
    "of a base transport": tls(transport=asyncio.Transport()),
    "with an int for a name": tls(server_hostname=3),
    "with a bad name": tls(server_hostname="x" * 300),
    "with a dotted name": tls(server_hostname=".x"),
    "as a client with a server's context": lambda b, it: tls(
        sslcontext=contexts()[0], server_hostname="localhost", server_side=False
    )(b, it),
    "within no time": tls(server_hostname="localhost", ssl_handshake_timeout=0),
    "within a negative time": tls(server_hostname="x", ssl_handshake_timeout=-1),
    "within a text": tls(server_hostname="x", ssl_handshake_timeout="1"),
    "ending within no time": tls(server_hostname="x", ssl_shutdown_timeout=0),
}


def on(make: Callable[[Bench], Any], call: Callable[[Any], Any]) -> Call:
    async def act(bench: Bench) -> Any:
        answer = call(await make(bench))
        return await answer if asyncio.iscoroutine(answer) else answer

    return act


def odd_to(
    make: Callable[[Bench], Any], call: Callable[[Any, Any], Any], odd: Make
) -> Call:
    async def act(bench: Bench) -> Any:
        return call(await make(bench), odd(bench))

    return act


def with_arguments(odds: dict[str, Make]) -> Iterator[Row]:
    for name, odd in odds.items():
        yield Row(
            f"sendto of {name}",
            odd_to(datagrams, lambda it, odd: it.sendto(odd, own(it)), odd),
        )
        if name not in ("a str", "bytes"):  # Host names that would be looked up.
            yield Row(
                f"sendto at {name}",
                odd_to(datagrams, lambda it, odd: it.sendto(b"x", odd), odd),
            )
        yield Row(
            f"pipe.write of {name}",
            odd_to(write_pipe, lambda it, odd: it.write(odd), odd),
        )


def in_states() -> Iterator[Row]:
    for name, call in SERVER.items():
        yield Row(f"server: {name}", on(server, call))
    for name, call in DATAGRAMS.items():
        yield Row(f"datagrams: {name}", on(datagrams, call))
    for name, call in CONNECTED_DATAGRAMS.items():
        yield Row(f"connected datagrams: {name}", on(connected_datagrams, call))
    for name, call in WRITE_PIPE.items():
        yield Row(f"write pipe: {name}", on(write_pipe, call))
    for name, call in READ_PIPE.items():
        yield Row(f"read pipe: {name}", on(read_pipe, call))
    for name, call in NEW_PROCESS.items():
        yield Row(f"subprocess {name}", call)
    for name, call in PROCESS.items():
        yield Row(f"subprocess: {name}", on(process, call))
    for name, use in SENDFILE.items():
        yield Row(f"sendfile {name}", sending(use))
    for name, use in START_TLS.items():
        yield Row(f"start_tls {name}", sending(use))
