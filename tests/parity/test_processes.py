"""Child processes: how their exit is noticed, and which process gets a signal."""

import asyncio
import errno
import os
import signal
import subprocess
import threading
from asyncio import AbstractEventLoop
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any, Self, cast

import pytest
from loops import LoopFactory, Run

from aioadapt import native_loop, subprocesses

from .protocols import Changing


class Watches(Changing, asyncio.SubprocessProtocol):
    transport: asyncio.SubprocessTransport

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.changed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.SubprocessTransport, transport)
        self.note("connection_made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.note(f"pipe_data_received {fd} {data!r}")

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.note(f"pipe_connection_lost {fd} {exc!r}")

    def process_exited(self) -> None:
        self.note("process_exited")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.note(f"connection_lost {exc!r}")

    async def until_call(self, call: str) -> None:
        await self.until(lambda: call in self.calls)


async def start(
    loop: AbstractEventLoop,
    *command: str,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
) -> Watches:
    _, protocol = await loop.subprocess_exec(
        Watches, *command, stdin=stdin, stdout=stdout, stderr=None
    )
    return protocol


class Held:
    """Children that run until :meth:`detach`."""

    def __init__(self) -> None:
        self.stdin, self._end = os.pipe()

    def __enter__(self) -> Self:
        return self

    def detach(self) -> None:
        """Close their stdin, so that they exit."""
        os.close(self._end)
        self._end = -1

    def until_ended(self, protocol: Watches) -> int:
        """Let it exit and block until it has, leaving its status unread."""
        self.detach()
        pid = protocol.transport.get_pid()
        assert pid is not None
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def __exit__(self, *_: object) -> None:
        os.close(self.stdin)
        if self._end >= 0:
            self.detach()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -9 $$", -9),
        ("kill -15 $$", -15),
    ],
)
async def test_the_status_is_the_childs(
    loop: AbstractEventLoop, script: str, status: int
) -> None:
    protocol = await start(loop, "sh", "-c", script)
    await protocol.until_call("process_exited")
    assert protocol.transport.get_returncode() == status
    popen = protocol.transport.get_extra_info("subprocess")
    assert popen.returncode == status
    await protocol.until_call("connection_lost None")
    assert protocol.calls == [
        "connection_made",
        "process_exited",
        "connection_lost None",
    ]
    protocol.transport.close()


async def test_what_a_child_said_last_comes_before_its_connection_is_lost(
    loop: AbstractEventLoop,
) -> None:
    protocol = await start(loop, "echo", "words", stdout=PIPE)
    await protocol.until_call("connection_lost None")
    assert [call for call in protocol.calls if call != "process_exited"] == [
        "connection_made",
        "pipe_data_received 1 b'words\\n'",
        "pipe_connection_lost 1 None",
        "connection_lost None",
    ]
    protocol.transport.close()


@pytest.mark.ours_only
async def test_no_thread_waits_for_a_child(loop: AbstractEventLoop) -> None:
    before = threading.enumerate()
    protocol = await start(loop, "cat")
    assert threading.enumerate() == before
    protocol.transport.kill()
    await protocol.until_call("connection_lost None")
    protocol.transport.close()


def test_a_loop_on_any_thread_hears_of_the_end_of_its_children(
    loop_factory: LoopFactory,
) -> None:
    statuses: list[int | None] = []

    async def main(loop: AbstractEventLoop) -> None:
        protocol = await start(loop, "sh", "-c", "exit 7")
        await protocol.until_call("connection_lost None")
        statuses.append(protocol.transport.get_returncode())
        protocol.transport.close()

    def on_a_thread() -> None:
        loop = loop_factory()
        loop.run_until_complete(asyncio.wait_for(main(loop), 20))
        loop.close()

    threads = [threading.Thread(target=on_a_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [7, 7]


async def test_a_child_that_is_done_with_cannot_be_signalled(
    loop: AbstractEventLoop,
) -> None:
    protocol = await start(loop, "true")
    await protocol.until_call("connection_lost None")
    for signalling in (
        protocol.transport.kill,
        protocol.transport.terminate,
        lambda: protocol.transport.send_signal(signal.SIGINT),
    ):
        with pytest.raises(ProcessLookupError):
            signalling()
    protocol.transport.close()


@pytest.mark.ours_only
async def test_no_signal_is_sent_to_the_number_of_a_child_that_has_ended(
    loop: AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grandchild keeps the pipe, and so the transport, open long after the
    child's pid may have been reused."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))

    with Held() as held:
        script = "exec 3<&0; cat <&3 & exit 5"
        protocol = await start(loop, "sh", "-c", script, stdin=held.stdin, stdout=PIPE)
        await protocol.until_call("process_exited")
        protocol.transport.kill()
        protocol.transport.terminate()
        protocol.transport.send_signal(signal.SIGTERM)
        assert killed == []
        assert protocol.transport.get_returncode() == 5
        assert "connection_lost None" not in protocol.calls
        held.detach()
        await protocol.until_call("connection_lost None")
        protocol.transport.close()


@pytest.mark.ours_only
async def test_a_child_that_has_ended_unheard_of_can_be_signalled_in_vain(
    loop: AbstractEventLoop,
) -> None:
    with Held() as held:
        protocol = await start(loop, "cat", stdin=held.stdin)
        held.until_ended(protocol)
        protocol.transport.kill()
        await protocol.until_call("connection_lost None")
        protocol.transport.close()


@pytest.mark.ours_only
def test_closing_a_child_that_has_ended_keeps_its_status(
    loop: AbstractEventLoop, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """close() checks whether it is still running, and so reads the status first."""

    async def main() -> None:
        with Held() as held:
            script = "read line; exit 9"
            protocol = await start(loop, "sh", "-c", script, stdin=held.stdin)
            held.until_ended(protocol)
            protocol.transport.close()
            await protocol.until_call("connection_lost None")
            assert protocol.transport.get_returncode() == 9

    run(main())
    assert caplog.records == []


@pytest.mark.ours_only
def test_a_status_that_somebody_else_has_read_is_255(
    loop: AbstractEventLoop, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with Held() as held:
            protocol = await start(loop, "cat", stdin=held.stdin)
            os.waitpid(held.until_ended(protocol), 0)
            await protocol.until_call("connection_lost None")
            assert protocol.transport.get_returncode() == 255
            protocol.transport.close()

    run(main())
    assert "exit status already read" in caplog.text


async def test_closing_kills_what_runs(loop: AbstractEventLoop) -> None:
    protocol = await start(loop, "sleep", "1000")
    protocol.transport.close()
    await protocol.until_call("connection_lost None")
    assert protocol.transport.get_returncode() == -signal.SIGKILL


def test_pidfds_that_are_refused_are_not_relied_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EPERM, "not in this sandbox")

    assert subprocesses.pidfds_work()
    with monkeypatch.context() as patched:
        patched.setattr(signal, "pidfd_send_signal", refuse)
        assert not subprocesses.pidfds_work()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not subprocesses.pidfds_work()


@pytest.mark.ours_only
async def test_where_pidfds_are_refused_asyncios_watcher_waits(
    loop: AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_loop, "pidfds_work", lambda: False)

    protocol = await start(loop, "sh", "-c", "exit 4")
    assert not isinstance(protocol.transport, subprocesses.SubprocessTransport)
    await protocol.until_call("connection_lost None")
    assert protocol.transport.get_returncode() == 4
    protocol.transport.close()


@pytest.mark.ours_only
def test_a_child_that_cannot_be_watched_is_ended_and_the_caller_told(
    loop: AbstractEventLoop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def out_of_descriptors(pid: int, flags: int = 0) -> int:
        if pid == os.getpid():
            return open_pidfd(pid, flags)
        started.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    open_pidfd = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", out_of_descriptors)

    async def main() -> None:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            await asyncio.create_subprocess_exec("sleep", "1000")

    run(main())
    (pid,) = started
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


@pytest.mark.ours_only
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_a_closed_loop_watches_no_child_any_more(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    protocol = loop.run_until_complete(start(loop, "sleep", "1000"))
    popen: subprocess.Popen[bytes] = protocol.transport.get_extra_info("subprocess")
    loop.close()
    # From now on only its Popen waits for it; it can still be killed.
    protocol.transport.kill()
    assert popen.wait(20) == -signal.SIGKILL


def test_starting_that_is_cancelled_leaves_no_child(
    loop: AbstractEventLoop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Recorded)

    async def main() -> None:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        )
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(main())
    (pid,) = started
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
