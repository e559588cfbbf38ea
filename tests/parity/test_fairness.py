"""A busy connection starves no timers, callbacks or other connections."""

import asyncio
import socket
import threading
import time
from asyncio import AbstractEventLoop

from loops import Run

from .peers import Wire, connected
from .protocols import Echo, Recorder


class Flood:
    """A peer that sends as fast as it can and discards the replies."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.threads = [
            threading.Thread(target=self._send),
            threading.Thread(target=self._receive),
        ]

    def _send(self) -> None:
        block = bytes(256 * 1024)
        try:
            while True:
                self.sock.sendall(block)
        except OSError:
            pass

    def _receive(self) -> None:
        try:
            while self.sock.recv(1 << 20):
                pass
        except OSError:
            pass

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()


async def test_a_flood_does_not_starve_timers_callbacks_or_others(wire: Wire) -> None:
    async with (
        connected(Recorder, wire) as (flooded, flooding),
        connected(Echo, wire) as (_, quiet),
    ):
        with Flood(flooding.sock):
            await flooded.got(1)
            for _ in range(20):
                await asyncio.sleep(0.001)
                await asyncio.sleep(0)
                quiet.send(b"x")
                assert await quiet.recv_exactly(1) == b"x"
                flooded.received.clear()
                await flooded.got(1)


async def test_a_callback_that_always_comes_back_does_not_starve_the_rest(
    loop: AbstractEventLoop,
) -> None:
    going = True

    def again() -> None:
        if going:
            loop.call_soon(again)

    again()
    async with connected(Echo) as (_, peer):
        for _ in range(5):
            await asyncio.sleep(0.001)
            peer.send(b"x")
            assert await peer.recv_exactly(1) == b"x"
            assert await loop.run_in_executor(None, lambda: 42) == 42
    going = False


async def test_timers_that_are_always_due_do_not_starve_the_rest(
    loop: AbstractEventLoop,
) -> None:
    going = True

    def again() -> None:
        if going:
            loop.call_later(0, again)

    again()
    async with connected(Echo) as (_, peer):
        for _ in range(5):
            peer.send(b"x")
            assert await peer.recv_exactly(1) == b"x"
    going = False


async def test_two_connections_that_echo_to_each_other_for_ever_do_not_starve_the_rest(
    loop: AbstractEventLoop,
) -> None:
    ours, theirs = socket.socketpair()
    left_transport, left = await loop.create_connection(Echo, sock=ours)
    _, right = await loop.create_connection(Echo, sock=theirs)
    left_transport.write(b"ping")
    await right.got(40)
    for _ in range(5):
        await asyncio.sleep(0.001)
    async with connected(Echo) as (_, peer):
        peer.send(b"x")
        assert await peer.recv_exactly(1) == b"x"
    left_transport.abort()
    await left.lost()
    await right.lost()


def test_an_idle_loop_sleeps(loop: AbstractEventLoop, run: Run) -> None:
    """A busy-polling loop would use as much CPU time as it waits."""

    async def main() -> float:
        async with connected(Recorder):
            begun = time.thread_time()
            await asyncio.sleep(0.3)
            return time.thread_time() - begun

    assert run(main()) < 0.1
