"""A closed loop is freed with its last reference, without the garbage collector.

Programs that make a loop for each call rely on this, and so do leak tests.
"""

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loops import factory_of

from .protocols import Recorder

Use = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    pass


async def a_timer() -> None:
    await asyncio.sleep(0.001)


async def an_executor() -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)
    await loop.shutdown_default_executor()


async def a_call_from_another_thread() -> None:
    loop = asyncio.get_running_loop()
    called = asyncio.Event()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(called.set,))
    thread.start()
    await called.wait()
    thread.join()


async def a_reader() -> None:
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    with ours, peer:
        readable = asyncio.Event()
        loop.add_reader(ours, readable.set)
        peer.send(b"x")
        await readable.wait()
        loop.remove_reader(ours)


async def a_sock_call() -> None:
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        reading = asyncio.ensure_future(loop.sock_recv(ours, 1))
        await asyncio.sleep(0)
        peer.send(b"x")
        await reading


async def a_connection() -> None:
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    with peer:
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        transport.write(b"x")
        transport.close()
        await protocol.lost()


async def a_server() -> None:
    loop = asyncio.get_running_loop()
    protocol = Recorder()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        await protocol.made()
    await protocol.lost()
    server.close()
    await server.wait_closed()


async def datagrams() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    await asyncio.sleep(0.01)
    transport.close()
    await asyncio.sleep(0.01)


USES: list[Use] = [
    nothing,
    a_timer,
    an_executor,
    a_call_from_another_thread,
    a_reader,
    a_sock_call,
    a_connection,
    a_server,
    datagrams,
]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_a_closed_loop_is_freed_with_its_last_name(loop_kind: str, use: Use) -> None:
    loop = factory_of(loop_kind)()
    loop.run_until_complete(use())
    alive = weakref.ref(loop)
    gc.collect()  # garbage left by the use itself
    gc.disable()
    try:
        loop.close()
        del loop
        assert alive() is None
    finally:
        gc.enable()
