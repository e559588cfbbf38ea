"""aiofiles, unchanged: the loop's executor reads and writes files."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiofiles
import aiofiles.os
import aiofiles.tempfile
import pytest
from integrations.proof import running_engine

BODY = bytes(range(256)) * 4096 * 4  # four mebibytes


@pytest.mark.ours_only
@pytest.mark.consumer("aiofiles")
def test_the_line_of_the_page_runs_it(
    follow: Callable[..., Any], loop_kind: str
) -> None:
    async def main() -> str:
        async with aiofiles.open(os.devnull, "rb") as file:
            assert await file.read() == b""
        return running_engine()

    assert follow(main=main) == loop_kind


async def test_a_file_is_written_then_read(tmp_path: Path) -> None:
    async with aiofiles.open(tmp_path / "file", "wb") as file:
        for start in range(0, len(BODY), 100_000):
            await file.write(BODY[start : start + 100_000])
    async with aiofiles.open(tmp_path / "file", "rb") as file:
        assert await file.read(1000) == BODY[:1000]
        await file.seek(-10, os.SEEK_END)
        assert await file.read() == BODY[-10:]
    assert (await aiofiles.os.stat(tmp_path / "file")).st_size == len(BODY)
    await aiofiles.os.remove(tmp_path / "file")
    assert not await aiofiles.os.path.exists(tmp_path / "file")


async def test_lines_come_in_order(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(500)]
    (tmp_path / "lines").write_text("".join(lines))

    async with aiofiles.open(tmp_path / "lines") as file:
        assert [line async for line in file] == lines


async def test_fifty_files_at_once() -> None:
    async def one(folder: str, number: int) -> None:
        path = Path(folder, str(number))
        async with aiofiles.open(path, "w") as file:
            await file.write(f"{number}" * 1000)
        async with aiofiles.open(path) as file:
            assert await file.read() == f"{number}" * 1000

    async with aiofiles.tempfile.TemporaryDirectory() as folder:
        await asyncio.gather(*(one(folder, number) for number in range(50)))


async def test_an_error_comes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await aiofiles.open(tmp_path / "nothing")


async def test_a_reader_that_waits_for_a_pipe_does_not_hold_up_the_loop() -> None:
    receiving, sending = os.pipe()

    async with aiofiles.open(receiving, "rb", buffering=0) as file:
        reading = asyncio.ensure_future(file.read(5))
        await asyncio.sleep(0)
        assert not reading.done()
        os.write(sending, b"hello")
        os.close(sending)
        assert await reading == b"hello"
