"""Calls from other threads, executors, and loops that run on other threads."""

import asyncio
import concurrent.futures
import socket
import threading
from asyncio import AbstractEventLoop
from typing import Self

import pytest
from loops import LoopFactory, Run

from .protocols import Recorder


def test_a_call_from_another_thread_wakes_a_sleeping_loop(
    loop: AbstractEventLoop,
) -> None:
    on_threads: list[int] = []

    def callback() -> None:
        on_threads.append(threading.get_ident())
        loop.stop()

    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(callback,))
    loop.call_soon(thread.start)

    loop.run_forever()
    thread.join()

    assert on_threads == [threading.get_ident()]


def test_calls_from_many_threads_all_run_and_keep_each_threads_order(
    loop: AbstractEventLoop, run: Run
) -> None:
    threads_count, calls_each = 8, 2000

    async def main() -> list[tuple[int, int]]:
        ran: list[tuple[int, int]] = []
        done = loop.create_future()

        def callback(thread: int, number: int) -> None:
            ran.append((thread, number))
            if len(ran) == threads_count * calls_each:
                done.set_result(None)

        def call(thread: int) -> None:
            for number in range(calls_each):
                loop.call_soon_threadsafe(callback, thread, number)

        threads = [
            threading.Thread(target=call, args=(number,))
            for number in range(threads_count)
        ]
        for thread in threads:
            thread.start()
        await done
        for thread in threads:
            thread.join()
        return ran

    ran = run(main())

    assert len(set(ran)) == threads_count * calls_each
    for thread in range(threads_count):
        numbers = [number for owner, number in ran if owner == thread]
        assert numbers == list(range(calls_each))


def test_a_threadsafe_call_can_be_cancelled(loop: AbstractEventLoop) -> None:
    ran: list[str] = []
    handle = loop.call_soon_threadsafe(ran.append, "cancelled")
    handle.cancel()
    assert handle.cancelled()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert ran == []


def test_threadsafe_calls_of_the_loops_own_thread_keep_their_order(
    loop: AbstractEventLoop,
) -> None:
    ran: list[int] = []
    for number in range(10):
        loop.call_soon_threadsafe(ran.append, number)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert ran == list(range(10))


def test_a_threadsafe_call_before_the_loop_runs_is_not_lost(
    loop: AbstractEventLoop,
) -> None:
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    thread.start()
    thread.join()
    loop.run_forever()


def test_run_coroutine_threadsafe_answers_the_other_thread(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    def elsewhere() -> int:
        return asyncio.run_coroutine_threadsafe(double(21), loop).result(10)

    async def main() -> int:
        return await asyncio.to_thread(elsewhere)

    assert run(main()) == 42


def test_a_callback_of_another_thread_and_the_loop_play_ping_pong(
    loop: AbstractEventLoop, run: Run
) -> None:
    """A single lost wake-up stops the exchange."""

    async def main() -> int:
        rounds = 0
        for _ in range(500):
            await loop.run_in_executor(None, lambda: None)
            rounds += 1
        return rounds

    assert run(main()) == 500


async def test_run_in_executor_gives_results_and_exceptions(
    loop: AbstractEventLoop,
) -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    assert await loop.run_in_executor(None, divide, 6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(None, divide, 1, 0)


def test_an_executor_of_ones_own_can_be_the_default(
    loop: AbstractEventLoop, run: Run
) -> None:
    async def main() -> str:
        return await loop.run_in_executor(None, lambda: threading.current_thread().name)

    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(executor)
    assert run(main()).startswith("mine")


def test_a_default_executor_that_is_no_thread_pool_is_refused(
    loop: AbstractEventLoop,
) -> None:
    with pytest.raises(TypeError):
        loop.set_default_executor(object())  # type: ignore[arg-type]


async def test_after_shutdown_the_default_executor_takes_no_work(
    loop: AbstractEventLoop,
) -> None:
    await loop.run_in_executor(None, lambda: None)
    await loop.shutdown_default_executor()
    with pytest.raises(RuntimeError, match="shutdown"):
        loop.run_in_executor(None, lambda: None)


async def test_getaddrinfo_and_getnameinfo(loop: AbstractEventLoop) -> None:
    infos = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert (socket.AF_INET, ("127.0.0.1", 80)) in [
        (family, address) for family, _, _, _, address in infos
    ]
    names = await loop.getnameinfo(
        ("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    )
    assert names == ("127.0.0.1", "80")
    with pytest.raises(socket.gaierror):
        await loop.getaddrinfo("127.0.0.1", "no-such-service-at-all")


class OnThread:
    """Runs a loop on a thread other than the one that created it, as programs do."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


async def tcp_echo_once() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


def test_a_loop_serves_on_a_thread_that_did_not_build_it(
    loop: AbstractEventLoop,
) -> None:
    with OnThread(loop):
        asyncio.run_coroutine_threadsafe(tcp_echo_once(), loop).result(10)


def test_a_loop_can_run_on_one_thread_and_later_on_another(
    loop: AbstractEventLoop, run: Run
) -> None:
    """An io_uring belongs to one thread, but the loop that uses it need not."""
    run(tcp_echo_once())
    with OnThread(loop):
        asyncio.run_coroutine_threadsafe(tcp_echo_once(), loop).result(10)
    run(tcp_echo_once())


def test_a_loop_that_ran_on_a_thread_can_be_closed_on_another(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()
    with OnThread(loop):
        asyncio.run_coroutine_threadsafe(tcp_echo_once(), loop).result(10)
    loop.close()


def test_two_loops_on_two_threads_talk_to_each_other(
    loop_factory: LoopFactory,
) -> None:
    one, two = loop_factory(), loop_factory()
    ours, theirs = socket.socketpair()
    left, right = Recorder(), Recorder()

    async def connect(protocol: Recorder, sock: socket.socket) -> None:
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)

    async def say(protocol: Recorder, words: bytes) -> None:
        protocol.transport.write(words)

    async def hear(protocol: Recorder, words: bytes) -> None:
        assert await protocol.got(len(words)) == words

    async def close(protocol: Recorder) -> None:
        protocol.transport.close()
        assert await protocol.lost() is None

    with OnThread(one), OnThread(two):
        for loop, what in (
            (one, connect(left, ours)),
            (two, connect(right, theirs)),
            (one, say(left, b"to the right")),
            (two, hear(right, b"to the right")),
            (two, say(right, b"to the left")),
            (one, hear(left, b"to the left")),
            (one, close(left)),
            (two, close(right)),
        ):
            asyncio.run_coroutine_threadsafe(what, loop).result(10)
    one.close()
    two.close()


def test_calls_racing_with_close_are_taken_or_refused_but_never_crash(
    loop_factory: LoopFactory,
) -> None:
    for _ in range(20):
        loop = loop_factory()
        begun = threading.Event()
        refused: list[str] = []

        def call(
            loop: AbstractEventLoop = loop,
            begun: threading.Event = begun,
            refused: list[str] = refused,
        ) -> None:
            try:
                while True:
                    loop.call_soon_threadsafe(lambda: None)
                    begun.set()
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        thread.join()
        assert refused == ["Event loop is closed"]
