"""A forked child exits without errors and cannot affect the parent's loop."""

import asyncio
import gc
import os
import socket
from asyncio import AbstractEventLoop

import pytest
from forking import in_a_child
from loops import LoopFactory, Run

import aioadapt

from .peers import connected
from .protocols import Echo


async def test_a_child_that_leaves_the_loop_alone_does_not_disturb_it() -> None:
    loop = asyncio.get_running_loop()
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    client, client_protocol = await loop.create_connection(Echo, *address)
    assert in_a_child(lambda: None) == 0
    await protocols[0].made()
    protocols[0].transport.write(b"x")
    await client_protocol.got(3)
    client.abort()
    await client_protocol.lost()
    await protocols[0].lost()
    server.close()
    await server.wait_closed()


def test_a_child_can_run_a_loop_of_its_own(
    loop: AbstractEventLoop, loop_factory: LoopFactory, run: Run
) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    def child() -> None:
        # A child forked from a coroutine would find the parent's loop running.
        own = loop_factory()
        assert own.run_until_complete(answer()) == 42
        own.close()

    run(answer())
    assert in_a_child(child) == 0
    assert run(answer()) == 42


def test_a_child_forked_while_the_loop_is_idle_can_exit_through_the_interpreter(
    loop: AbstractEventLoop, run: Run
) -> None:
    """Destructors of the parent's objects run in the child and must not touch
    the parent's kernel objects."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    run(answer())

    def child() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        gc.collect()

    assert in_a_child(child) == 0
    assert run(answer()) == 42


@pytest.mark.ours_only
def test_a_child_that_uses_the_parents_loop_gets_an_error(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    def child() -> None:
        coroutine = answer()
        with pytest.raises(aioadapt.ForkedLoopError):
            loop.run_until_complete(coroutine)
        coroutine.close()
        with pytest.raises(aioadapt.ForkedLoopError):
            loop.run_forever()

    run(answer())
    assert in_a_child(child) == 0
    assert run(answer()) == 42


@pytest.mark.ours_only
def test_a_child_can_close_its_copy_of_the_loop_without_hurting_the_parent(
    loop: AbstractEventLoop, run: Run
) -> None:
    def child() -> None:
        try:
            loop.close()
        except aioadapt.ForkedLoopError:
            pass

    async def main() -> None:
        async with connected(Echo) as (_, peer):
            peer.send(b"x")
            assert await peer.recv_exactly(1) == b"x"

    run(main())
    # Python warns when a process with other threads forks.
    run(loop.shutdown_default_executor())
    assert in_a_child(child) == 0
    run(asyncio.sleep(0.001))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.send(b"x")
    assert run(loop.sock_recv(ours, 1)) == b"x"
    ours.close()
    theirs.close()
