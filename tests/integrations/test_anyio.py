"""anyio, unchanged, with our loop factories: sockets, processes, threads, signals."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.abc import ByteStream, SocketAttribute, TaskStatus
from anyio.streams.tls import TLSListener, TLSStream
from integrations.proof import assert_carried, running_engine
from loops import LoopFactory

BIG = bytes(range(256)) * 4096 * 4  # four mebibytes
RunIt = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture
def run_it(loop_factory: LoopFactory) -> RunIt:
    """``anyio.run`` the way users call it, on the loop under test."""

    def run_it(main: Callable[[], Awaitable[Any]]) -> Any:
        async def bounded() -> Any:
            with anyio.fail_after(20):
                return await main()

        return anyio.run(bounded, backend_options={"loop_factory": loop_factory})

    return run_it


async def echo(stream: ByteStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


async def _send_all(stream: ByteStream) -> None:
    await stream.send(BIG)
    await stream.send_eof()


async def _echoed(stream: ByteStream) -> bytes:
    """Send :data:`BIG`; return what comes back meanwhile."""
    received = bytearray()
    async with stream, anyio.create_task_group() as group:
        group.start_soon(_send_all, stream)
        async for data in stream:
            received += data
    return bytes(received)


@pytest.mark.ours_only
@pytest.mark.consumer("anyio")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    async def main() -> str:
        await anyio.sleep(0)
        return running_engine()

    assert follow(anyio=anyio, main=main) == loop_kind


def test_it_makes_and_closes_the_loop_that_it_is_told_to(
    run_it: RunIt, loop_factory: LoopFactory
) -> None:
    async def main() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    used: asyncio.AbstractEventLoop = run_it(main)
    another = loop_factory()
    another.close()

    assert type(used) is type(another)
    assert used.is_closed()


def test_tcp_carries_a_big_stream_both_ways_at_once(run_it: RunIt) -> None:
    async def main() -> None:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as group,
        ):
            group.start_soon(listener.serve, echo)
            port = listener.extra(SocketAttribute.local_port)
            assert await _echoed(await anyio.connect_tcp("127.0.0.1", port)) == BIG
            group.cancel_scope.cancel()
        assert_carried(asyncio.get_running_loop(), 2 * len(BIG))

    run_it(main)


def test_unix_sockets_carry_a_big_stream_both_ways_at_once(
    run_it: RunIt, tmp_path: Path
) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        async with (
            await anyio.create_unix_listener(path) as listener,
            anyio.create_task_group() as group,
        ):
            group.start_soon(listener.serve, echo)
            assert await _echoed(await anyio.connect_unix(path)) == BIG
            group.cancel_scope.cancel()

    run_it(main)


def test_tls_carries_messages(
    run_it: RunIt, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as plain,
            TLSListener(plain, server_context) as listener,
            anyio.create_task_group() as group,
        ):
            group.start_soon(listener.serve, echo)
            port = plain.extra(SocketAttribute.local_port)
            connecting = anyio.connect_tcp(
                "127.0.0.1", port, ssl_context=client_context
            )
            async with await connecting as stream:
                assert isinstance(stream, TLSStream)
                for number in range(100):
                    await stream.send(b"message %d" % number)
                    assert await stream.receive() == b"message %d" % number
            group.cancel_scope.cancel()

    run_it(main)


def test_datagrams_are_exchanged(run_it: RunIt) -> None:
    async def main() -> None:
        async with (
            await anyio.create_udp_socket(local_host="127.0.0.1") as server,
            await anyio.create_connected_udp_socket(
                "127.0.0.1", server.extra(SocketAttribute.local_port)
            ) as client,
        ):
            for number in range(100):
                await client.send(b"%d" % number)
                data, sender = await server.receive()
                await server.sendto(data + b"!", *sender)
                assert await client.receive() == b"%d!" % number

    run_it(main)


def test_a_process_is_fed_and_read(run_it: RunIt) -> None:
    async def main() -> None:
        upper = "import sys; print(sys.stdin.read().upper(), end='')"
        command = [sys.executable, "-c", upper]
        done = await anyio.run_process(command, input=b"hello " * 10_000)
        assert done.stdout == b"HELLO " * 10_000

        with pytest.raises(subprocess.CalledProcessError) as error:
            await anyio.run_process([sys.executable, "-c", "raise SystemExit(3)"])
        assert error.value.returncode == 3

        async with await anyio.open_process(["sleep", "60"]) as process:
            process.terminate()
            assert await process.wait() == -signal.SIGTERM

    run_it(main)


def test_threads_call_and_are_called(run_it: RunIt) -> None:
    async def main() -> None:
        async def double(number: int) -> int:
            await anyio.sleep(0)
            return number * 2

        def in_a_thread(number: int) -> int:
            return anyio.from_thread.run(double, number)

        results: list[int] = []

        async def one(number: int) -> None:
            results.append(await anyio.to_thread.run_sync(in_a_thread, number))

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
        assert sorted(results) == [number * 2 for number in range(100)]

    run_it(main)


def test_a_portal_runs_the_loop_in_a_thread(loop_factory: LoopFactory) -> None:
    async def which() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    another = loop_factory()
    another.close()
    options = {"loop_factory": loop_factory}

    with anyio.from_thread.start_blocking_portal("asyncio", options) as portal:
        assert portal.call(which) is type(another)
        waiting = portal.start_task_soon(anyio.sleep_forever)
        waiting.cancel()


def test_cancelling_a_scope_ends_what_waits_for_a_peer(run_it: RunIt) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def silent(stream: ByteStream) -> None:
            async with stream:
                try:
                    await anyio.sleep_forever()
                finally:
                    ended.append("server")

        async def receive(
            port: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
        ) -> None:
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                task_status.started()
                try:
                    await stream.receive()
                finally:
                    ended.append("client")

        async with AsyncExitStack() as stack:
            listener = await stack.enter_async_context(
                await anyio.create_tcp_listener(local_host="127.0.0.1")
            )
            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(listener.serve, silent)
            await group.start(receive, listener.extra(SocketAttribute.local_port))
            with anyio.move_on_after(0.01) as scope:
                await anyio.sleep_forever()
            assert scope.cancelled_caught
            group.cancel_scope.cancel()
        assert set(ended) <= {"server", "client"}
        assert "client" in ended

    run_it(main)


def test_signals_arrive(run_it: RunIt) -> None:
    async def main() -> None:
        with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
            for number in (signal.SIGUSR2, signal.SIGUSR1):
                os.kill(os.getpid(), number)
                assert await anext(signals) is number

    run_it(main)


def test_a_descriptor_is_waited_for(run_it: RunIt) -> None:
    async def main() -> None:
        receiving, sending = os.pipe()
        try:
            with anyio.move_on_after(0.01) as scope:
                await anyio.wait_readable(receiving)
            assert scope.cancelled_caught
            await anyio.wait_writable(sending)
            os.write(sending, b"x")
            await anyio.wait_readable(receiving)
        finally:
            os.close(receiving)
            os.close(sending)

    run_it(main)
