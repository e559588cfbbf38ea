"""Signals: the loop's handlers, Python's handlers, Ctrl-C."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Iterator

import pytest
from loops import LoopFactory, in_words, run_iterations


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    watched = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in watched}
    yield
    left = {number: signal.getsignal(number) for number in watched}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert left == before
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1


def kill_me(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_a_signal_calls_its_handler_on_the_loop(loop: AbstractEventLoop) -> None:
    got: asyncio.Future[tuple[str, AbstractEventLoop]] = loop.create_future()
    loop.add_signal_handler(
        signal.SIGUSR1,
        lambda word: got.set_result((word, asyncio.get_running_loop())),
        "argument",
    )
    kill_me(signal.SIGUSR1)
    assert await got == ("argument", loop)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_a_signal_wakes_a_sleeping_loop(loop: AbstractEventLoop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    thread = threading.Thread(target=kill_me, args=(signal.SIGUSR1,))
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_several_signals_each_find_their_handler(loop: AbstractEventLoop) -> None:
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    got = {number: loop.create_future() for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, got[number].set_result, None)
    for number in numbers:
        kill_me(number)
    await asyncio.gather(*got.values())
    for number in numbers:
        loop.remove_signal_handler(number)


async def test_a_handler_can_be_replaced(loop: AbstractEventLoop) -> None:
    called: list[str] = []
    done = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, called.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, done.set_result, "second")
    kill_me(signal.SIGUSR1)
    assert await done == "second"
    assert called == []
    loop.remove_signal_handler(signal.SIGUSR1)


def test_closing_the_loop_removes_its_handlers(loop: AbstractEventLoop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, print)
    run_iterations(loop)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_signals_that_cannot_be_handled_are_refused(loop: AbstractEventLoop) -> None:
    with pytest.raises(RuntimeError, match="cannot be caught"):
        loop.add_signal_handler(signal.SIGKILL, print)
    with pytest.raises(ValueError):
        loop.add_signal_handler(10_000, print)
    with pytest.raises(TypeError):
        loop.add_signal_handler("SIGINT", print)  # type: ignore[arg-type]

    async def coroutine() -> None: ...

    with pytest.raises(TypeError, match="coroutines"):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)


def test_only_the_main_thread_can_add_handlers(loop: AbstractEventLoop) -> None:
    errors: list[str] = []

    def elsewhere() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except (RuntimeError, ValueError) as error:
            errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    (message,) = errors
    assert "main thread" in message


def test_a_handler_of_pythons_own_runs_while_the_loop_sleeps(
    loop: AbstractEventLoop,
) -> None:
    """It must not wait until the kernel has an event for the loop."""
    signal_handler = signal.signal(
        signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(loop.stop)
    )
    try:
        thread = threading.Thread(target=kill_me, args=(signal.SIGUSR1,))
        loop.call_soon(thread.start)
        loop.run_forever()
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, signal_handler)


def test_what_a_handler_of_pythons_own_raises_escapes_and_the_loop_runs_again(
    loop: AbstractEventLoop,
) -> None:
    class Alarm(Exception):
        pass

    def handler(*_: object) -> None:
        raise Alarm

    # If the signal came between two bytecodes of a callback, that callback would
    # raise it, so it has to come while the loop sleeps.
    stat = f"/proc/self/task/{threading.get_native_id()}/stat"
    callback_is_over = threading.Event()
    raised = threading.Event()

    def when_the_loop_sleeps() -> None:
        callback_is_over.wait()
        while not raised.is_set():
            with open(stat) as file:
                state = file.read().rpartition(")")[2].split()[0]
            if state == "S":
                kill_me(signal.SIGUSR1)
                raised.wait(1)

    def callback() -> None:
        thread.start()
        loop.call_soon(loop.call_soon, callback_is_over.set)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = threading.Thread(target=when_the_loop_sleeps)
        loop.call_soon(callback)
        with pytest.raises(Alarm):
            loop.run_forever()
        raised.set()
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    ran: list[str] = []
    loop.call_soon(ran.append, "ran")
    run_iterations(loop)
    assert ran == ["ran"]


def test_ctrl_c_interrupts_a_sleeping_loop(loop: AbstractEventLoop) -> None:
    thread = threading.Thread(target=kill_me, args=(signal.SIGINT,))
    loop.call_soon(thread.start)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()
    assert not loop.is_running()
    run_iterations(loop)


WAITING_CALLS = {"22", "232", "281", "426", "441"}
"""epoll_pwait of arm64, epoll_wait, epoll_pwait, io_uring_enter, epoll_pwait2."""


def test_ctrl_c_interrupts_a_loop_that_has_just_begun_to_wait_for_bytes(
    loop: AbstractEventLoop,
) -> None:
    """With io_uring one call submits operations and waits.  When it is interrupted,
    it returns the number submitted, not EINTR."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    interrupted = threading.Event()
    needed_bytes: list[bool] = []
    doing = f"/proc/self/task/{threading.get_native_id()}/syscall"

    def interrupt() -> None:
        with open(doing, encoding="ascii") as file:
            while file.read().split()[0] not in WAITING_CALLS:
                file.seek(0)
        kill_me(signal.SIGINT)
        needed_bytes.append(not interrupted.wait(5))
        theirs.send(b"x")

    thread = threading.Thread(target=interrupt)

    async def main() -> None:
        thread.start()
        await loop.sock_recv(ours, 1)

    try:
        open(doing, encoding="ascii").close()
    except OSError as error:
        pytest.skip(f"cannot see what a thread waits for: {error}")
    with ours, theirs:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main())
        interrupted.set()
        thread.join()
        assert needed_bytes == [False]
        for task in asyncio.all_tasks(loop):
            task.cancel()
        run_iterations(loop)
        run_iterations(loop)


def test_a_runner_turns_ctrl_c_into_a_cancelled_main_task(
    loop_factory: LoopFactory,
) -> None:
    told: list[str] = []

    async def main() -> None:
        kill_me(signal.SIGINT)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with (
        asyncio.Runner(loop_factory=loop_factory) as runner,
        pytest.raises(KeyboardInterrupt),
    ):
        runner.run(main())
    assert told == ["cancelled"]


PROGRAM = """
import asyncio, {module}
async def main():
    try:
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        print("cleaned up", flush=True)
        raise
with asyncio.Runner(loop_factory={module}.{name}) as runner:
    runner.run(main())
"""


def test_a_program_that_gets_ctrl_c_cleans_up_and_dies_of_it(loop_kind: str) -> None:
    module, _, name = in_words(loop_kind).partition(":")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(module=module, name=name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaned up\n"
        assert process.wait(10) == -signal.SIGINT
