"""Subprocesses, pipes and what a loop needs for them."""

import asyncio
import fcntl
import os
import signal
import sys
from asyncio import AbstractEventLoop
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest

from .peers import pattern
from .protocols import Recorder


async def test_a_program_ends_with_its_status() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "raise SystemExit(7)"
    )
    assert await process.wait() == 7
    assert process.returncode == 7


async def test_a_programs_output_and_errors_are_read_to_their_ends() -> None:
    process = await asyncio.create_subprocess_shell(
        "echo out; echo err >&2", stdout=PIPE, stderr=PIPE
    )
    assert await process.communicate() == (b"out\n", b"err\n")


async def test_a_megabyte_goes_through_cat_and_comes_back() -> None:
    data = pattern(1024 * 1024)
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    out, _ = await process.communicate(data)
    assert out == data
    assert process.returncode == 0


async def test_lines_are_exchanged_with_a_running_program() -> None:
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(20):
        process.stdin.write(b"%d\n" % number)
        assert await process.stdout.readline() == b"%d\n" % number
    process.stdin.close()
    await process.stdin.wait_closed()
    assert await process.stdout.read() == b""
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("how", "number"), [("kill", signal.SIGKILL), ("terminate", signal.SIGTERM)]
)
async def test_a_program_can_be_ended(how: str, number: int) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=DEVNULL)
    getattr(process, how)()
    assert await process.wait() == -number


async def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await asyncio.create_subprocess_exec("/proc/none/program")


async def test_many_programs_run_at_once() -> None:
    async def one(status: int) -> int:
        process = await asyncio.create_subprocess_shell(f"exit {status}")
        return await process.wait()

    assert await asyncio.gather(*map(one, range(10))) == list(range(10))


async def test_a_program_does_not_inherit_the_loops_descriptors() -> None:
    process = await asyncio.create_subprocess_exec(
        "ls", "/proc/self/fd", stdout=PIPE, close_fds=False
    )
    out, _ = await process.communicate()
    # 0, 1, 2 and the listed directory itself, plus whatever the test
    # runner has made inheritable.
    inheritable = {
        fd
        for fd in map(int, os.listdir("/proc/self/fd"))
        if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)
    }
    assert len(out.split()) <= 4 + len(inheritable)


async def test_the_subprocess_transport_knows_its_process(
    loop: AbstractEventLoop,
) -> None:
    ended = loop.create_future()

    class Watches(asyncio.SubprocessProtocol):
        def process_exited(self) -> None:
            ended.set_result(None)

    transport, _ = await loop.subprocess_exec(
        Watches, "true", stdin=None, stdout=None, stderr=None
    )
    popen = transport.get_extra_info("subprocess")
    assert popen.pid == transport.get_pid()
    await ended
    assert transport.get_returncode() == 0
    transport.close()


async def test_a_pipe_is_read_to_its_end(loop: AbstractEventLoop) -> None:
    read_end, write_end = os.pipe()
    lost = loop.create_future()
    received = bytearray()

    class Reads(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.extend(data)

        def connection_lost(self, exc: BaseException | None) -> None:
            lost.set_result(exc)

    await loop.connect_read_pipe(Reads, os.fdopen(read_end, "rb", 0))
    os.write(write_end, b"words")
    os.close(write_end)
    assert await lost is None
    assert received == b"words"


@pytest.mark.ours_only
async def test_a_pipe_is_read_by_no_more_than_64_kib(loop: AbstractEventLoop) -> None:
    """A buffer larger than malloc keeps needs fresh pages for every read."""
    data = pattern(300_000)

    class Reads(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.sizes: list[int] = []
            self.note("connection_made")

        def data_received(self, data: bytes) -> None:
            self.sizes.append(len(data))
            super().data_received(data)

    read_end, write_end = os.pipe()
    assert fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1 << 20) >= len(data)
    assert os.write(write_end, data) == len(data)
    os.close(write_end)
    _, protocol = await loop.connect_read_pipe(Reads, os.fdopen(read_end, "rb", 0))
    assert await protocol.got(len(data)) == data
    assert max(protocol.sizes) == 65536
    await protocol.lost()


async def test_a_pipe_is_written_as_fast_as_it_is_read(loop: AbstractEventLoop) -> None:
    def read_all(fd: int) -> bytes:
        with os.fdopen(fd, "rb") as file:
            return file.read()

    class Writes(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.note("connection_made")

    data = pattern(1024 * 1024)
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_write_pipe(
        Writes, os.fdopen(write_end, "wb", 0)
    )
    transport.write(data)
    transport.close()
    assert await asyncio.to_thread(read_all, read_end) == data
    assert await protocol.lost() is None


async def test_a_pipe_whose_reader_left_is_lost(loop: AbstractEventLoop) -> None:
    class Writes(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.note("connection_made")

    read_end, write_end = os.pipe()
    _, protocol = await loop.connect_write_pipe(Writes, os.fdopen(write_end, "wb", 0))
    os.close(read_end)
    await protocol.lost()
