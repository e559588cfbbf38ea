"""Every method of a transport, in every state, and with odd arguments."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from parity.peers import Peer
from parity.protocols import BufferedRecorder, Recorder

from .bench import Bench, Row, iterations
from .odd import Make

Given = Callable[[Any, Any], Any]


class Half(Recorder):
    """Keeps its half open after the peer's end of file."""

    def eof_received(self) -> bool | None:
        super().eof_received()
        return True


# -- States: what a transport has gone through before the call.


async def is_open(bench: Bench) -> Any:
    return (await bench.transport())[0]


async def ended_writing(bench: Bench) -> Any:
    transport = await is_open(bench)
    transport.write_eof()
    return transport


async def ended_by_the_peer(bench: Bench) -> Any:
    protocol = Half()
    transport, peer = await bench.transport(protocol)
    peer.shutdown(socket.SHUT_WR)
    await protocol.until(lambda: "eof_received" in protocol.calls)
    return transport


async def is_paused(bench: Bench) -> Any:
    transport = await is_open(bench)
    transport.pause_reading()
    return transport


async def is_full(bench: Bench) -> Any:
    transport = await is_open(bench)
    while not transport.get_write_buffer_size():
        transport.write(bytes(1 << 20))
    return transport


async def is_closing_full(bench: Bench) -> Any:
    transport = await is_full(bench)
    transport.close()
    return transport


async def is_closing(bench: Bench) -> Any:
    transport = await is_open(bench)
    transport.close()
    return transport


async def is_closed(bench: Bench) -> Any:
    transport = await is_closing(bench)
    await iterations(4)
    return transport


async def is_aborted(bench: Bench) -> Any:
    transport = await is_full(bench)
    transport.abort()
    return transport


async def was_reset(bench: Bench) -> Any:
    """Over TCP, because Unix sockets have no reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    protocol = Recorder()
    transport, _ = await bench.loop.connect_accepted_socket(lambda: protocol, ours)
    bench.transports.append(transport)
    Peer(theirs).reset()
    await protocol.lost()
    return transport


STATES: dict[str, Callable[[Bench], Awaitable[Any]]] = {
    "open": is_open,
    "ended writing": ended_writing,
    "ended by the peer": ended_by_the_peer,
    "paused": is_paused,
    "full": is_full,
    "closing": is_closing,
    "closing and full": is_closing_full,
    "closed": is_closed,
    "aborted": is_aborted,
    "reset": was_reset,
}

METHODS: dict[str, Callable[[Any], Any]] = {
    "write": lambda transport: transport.write(b"x"),
    "write nothing": lambda transport: transport.write(b""),
    "write a str": lambda transport: transport.write("x"),
    "write ten times": lambda transport: [transport.write(b"x") for _ in range(10)],
    "writelines": lambda transport: transport.writelines([b"x", b"y"]),
    "writelines of none": lambda transport: transport.writelines([]),
    "write_eof": lambda transport: transport.write_eof(),
    "write_eof twice": lambda transport: [transport.write_eof() for _ in range(2)],
    "write_eof and write": lambda transport: [
        transport.write_eof(),
        transport.write(b"x"),
    ],
    "write_eof and writelines": lambda transport: [
        transport.write_eof(),
        transport.writelines([b"x"]),
    ],
    "write_eof and write nothing": lambda transport: [
        transport.write_eof(),
        transport.write(b""),
    ],
    "can_write_eof": lambda transport: transport.can_write_eof(),
    "close": lambda transport: transport.close(),
    "close twice": lambda transport: [transport.close() for _ in range(2)],
    "close and write": lambda transport: [transport.close(), transport.write(b"x")],
    "close and write_eof": lambda transport: [transport.close(), transport.write_eof()],
    "abort": lambda transport: transport.abort(),
    "is_closing": lambda transport: transport.is_closing(),
    "pause_reading": lambda transport: transport.pause_reading(),
    "pause_reading twice": lambda transport: [
        transport.pause_reading() for _ in range(2)
    ],
    "resume_reading": lambda transport: transport.resume_reading(),
    "is_reading": lambda transport: transport.is_reading(),
    "get_protocol": lambda transport: type(transport.get_protocol()).__name__,
    "set_protocol": lambda transport: transport.set_protocol(BufferedRecorder()),
    "get_write_buffer_limits": lambda transport: transport.get_write_buffer_limits(),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(5),
    "peername": lambda transport: transport.get_extra_info("peername"),
    "sockname": lambda transport: transport.get_extra_info("sockname"),
    "a socket's number": lambda transport: (
        transport.get_extra_info("socket").fileno() >= 0
    ),
    "an unknown name": lambda transport: transport.get_extra_info("unknown", 7),
}


def in_state(state: str) -> Iterator[Row]:
    for method, call in METHODS.items():
        yield Row(f"{method}, when {state}", prepared(STATES[state], call))


def prepared(
    prepare: Callable[[Bench], Awaitable[Any]], call: Callable[[Any], Any]
) -> Callable[[Bench], Any]:
    async def act(bench: Bench) -> Any:
        return call(await prepare(bench))

    return act


ARGUMENTS: dict[str, Given] = {
    "write": lambda transport, odd: transport.write(odd),
    "writelines": lambda transport, odd: transport.writelines(odd),
    "writelines of one": lambda transport, odd: transport.writelines([b"x", odd]),
    "set_protocol": lambda transport, odd: transport.set_protocol(odd),
    "get_extra_info": lambda transport, odd: transport.get_extra_info(odd),
    "limits, high": lambda transport, odd: limits(transport, high=odd),
    "limits, low": lambda transport, odd: limits(transport, low=odd),
    "limits, high of low": lambda transport, odd: limits(transport, high=9, low=odd),
    "limits, low of high": lambda transport, odd: limits(transport, high=odd, low=9),
}


def limits(transport: Any, **given: Any) -> Any:
    transport.set_write_buffer_limits(**given)
    return transport.get_write_buffer_limits()


def with_arguments(odds: dict[str, Make]) -> Iterator[Row]:
    for method, call in ARGUMENTS.items():
        for odd, make in odds.items():
            # Python's own join reads whatever is in its memory now.
            if (method, odd) != ("writelines", "a released view"):
                yield Row(f"{method}: {odd}", given(call, make))


def given(call: Given, make: Make) -> Callable[[Bench], Any]:
    async def act(bench: Bench) -> Any:
        return call((await bench.transport())[0], make(bench))

    return act
