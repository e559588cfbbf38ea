"""Which context variables a callback sees."""

import asyncio
import contextvars
import os
import signal
import socket
import sys
from asyncio import AbstractEventLoop

import pytest
from loops import Reported, Run, run_iterations

from .peers import serving
from .protocols import BufferedRecorder, Recorder

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def context_with(value: str) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(name.set, value)
    return context


def test_callbacks_see_the_context_of_whoever_gave_them(
    loop: AbstractEventLoop,
) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(name.get())

    def give(value: str) -> None:
        name.set(value)
        loop.call_soon(look)
        loop.call_later(0, look)
        loop.call_at(0, look)
        loop.call_soon_threadsafe(look)
        name.set("changed afterwards")

    contextvars.copy_context().run(give, "giver")
    run_iterations(loop)
    run_iterations(loop)

    assert seen == ["giver"] * 4


def test_callbacks_see_the_context_given_for_them(loop: AbstractEventLoop) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(name.get())

    context = context_with("given")
    loop.call_soon(look, context=context)
    loop.call_later(0, look, context=context)
    loop.call_at(0, look, context=context)
    loop.call_soon_threadsafe(look, context=context)
    run_iterations(loop)
    run_iterations(loop)

    assert seen == ["given"] * 4


def test_what_a_callback_sets_stays_in_its_own_context(
    loop: AbstractEventLoop,
) -> None:
    seen: list[str] = []
    context = context_with("first")
    loop.call_soon(name.set, "set by callback", context=context)
    loop.call_soon(lambda: seen.append(name.get()), context=context)
    loop.call_soon(lambda: seen.append(name.get()))
    run_iterations(loop)

    assert seen == ["set by callback", "nobody"]
    assert name.get() == "nobody"


async def test_tasks_keep_a_context_of_their_own(loop: AbstractEventLoop) -> None:
    async def child() -> str:
        before = name.get()
        name.set("child")
        await asyncio.sleep(0.001)
        return before + " " + name.get()

    name.set("parent")
    assert await asyncio.create_task(child()) == "parent child"
    assert name.get() == "parent"
    given = context_with("given")
    assert await asyncio.create_task(child(), context=given) == "given child"
    assert given[name] == "child"


def test_readers_and_writers_see_the_context_they_were_added_in(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        done = loop.create_future()
        ours, theirs = socket.socketpair()

        def readable() -> None:
            loop.remove_reader(ours)
            seen.append(name.get())
            done.set_result(None)

        def writable() -> None:
            loop.remove_writer(ours)
            seen.append(name.get())
            theirs.send(b"x")

        context_with("reader").run(loop.add_reader, ours, readable)
        context_with("writer").run(loop.add_writer, ours, writable)
        await done
        ours.close()
        theirs.close()
        return seen

    assert run(main()) == ["writer", "reader"]


def test_signal_handlers_see_the_context_they_were_added_in(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def main() -> str:
        seen: asyncio.Future[str] = loop.create_future()
        context_with("handler").run(
            loop.add_signal_handler,
            signal.SIGUSR1,
            lambda: seen.set_result(name.get()),
        )
        os.kill(os.getpid(), signal.SIGUSR1)
        got = await seen
        loop.remove_signal_handler(signal.SIGUSR1)
        return got

    assert run(main()) == "handler"


class Looks(Recorder):
    """Each callback records the value it sees and sets another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, str] = {}

    def note(self, call: str) -> None:
        self.seen[call] = name.get()
        super().note(call)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        name.set("set by " + data.decode())


async def test_a_servers_protocols_see_the_context_the_server_was_made_in(
    loop: AbstractEventLoop,
) -> None:
    protocols: list[Looks] = []

    def factory() -> Looks:
        protocols.append(Looks())
        assert name.get() == "server"
        return protocols[-1]

    name.set("server")
    async with serving(factory) as place:
        name.set("later")
        for number in range(2):
            peer = place.connect()
            peer.send(b"peer")
            peer.finish_sending()
            assert await peer.recv_to_end() == b""
            peer.close()
            await protocols[number].lost()
    for protocol in protocols:
        seen = protocol.seen
        assert seen["connection_made"] == "server"
        assert seen["data_received"] == "server"
        assert set(protocol.calls) == set(seen)


async def test_one_connections_context_does_not_leak_into_another(
    loop: AbstractEventLoop,
) -> None:
    protocols: list[Looks] = []

    def factory() -> Looks:
        protocols.append(Looks())
        return protocols[-1]

    name.set("server")
    async with serving(factory) as place:
        peers = [place.connect() for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.send(b"peer")
            while len(protocols) <= number:
                await asyncio.sleep(0)
            await protocols[number].got(4)
        for peer in peers:
            peer.close()
        for protocol in protocols:
            await protocol.lost()
            assert protocol.seen["data_received"] == "server"
    assert name.get() == "server"


async def test_a_clients_protocol_sees_the_context_it_was_connected_in(
    loop: AbstractEventLoop,
) -> None:
    class LooksIntoBuffer(BufferedRecorder):
        def note(self, call: str) -> None:
            assert name.get() == "client"
            super().note(call)

    ours, theirs = socket.socketpair()
    name.set("client")
    for_buffer = LooksIntoBuffer()
    await loop.create_connection(lambda: for_buffer, sock=ours)
    name.set("later")
    theirs.send(b"peer")
    await for_buffer.got(4)
    theirs.close()
    await for_buffer.lost()
    assert for_buffer.calls == [
        "connection_made",
        "buffer_updated",
        "eof_received",
        "connection_lost",
    ]


def test_a_callback_whose_context_is_already_entered_is_reported_and_the_loop_goes_on(
    loop: AbstractEventLoop, reported: Reported, caplog: pytest.LogCaptureFixture
) -> None:
    context = contextvars.copy_context()
    ran: list[str] = []

    async def main() -> None:
        loop.call_soon(ran.append, "inside", context=context)
        loop.call_soon(ran.append, "after", context=contextvars.copy_context())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    context.run(loop.run_until_complete, main())

    assert ran == ["after"]
    if sys.version_info >= (3, 12):
        # The exception handler would run in the same context, so asyncio
        # can only log.
        assert "already entered" in caplog.text
    else:
        error = reported.pop()["exception"]
        assert isinstance(error, RuntimeError)
        assert "already entered" in str(error)
