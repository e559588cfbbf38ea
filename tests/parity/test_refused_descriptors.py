"""What add_reader and add_writer refuse, and with which error."""

import os
import tempfile
from asyncio import AbstractEventLoop

import pytest

from .peers import connected
from .protocols import Recorder
from .test_flow_control import fill
from .test_readers_and_writers import Pair, pair

__all__ = ["pair"]


@pytest.mark.parametrize("wrong", [-1, "text", None, object()])
def test_what_is_no_descriptor_is_refused(
    loop: AbstractEventLoop, wrong: object
) -> None:
    with pytest.raises((ValueError, TypeError)):
        loop.add_reader(wrong, print)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        loop.add_writer(wrong, print)  # type: ignore[arg-type]


def test_a_closed_descriptor_is_refused_with_its_errno(
    loop: AbstractEventLoop,
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(read_end, print)
    assert loop.remove_reader(read_end) is False


def test_a_regular_file_cannot_be_watched(loop: AbstractEventLoop) -> None:
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        assert loop.remove_reader(file) is False


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero"])
def test_a_device_that_cannot_be_waited_for_is_refused(
    loop: AbstractEventLoop, name: str
) -> None:
    """Under cron and in many containers, standard input is such a device."""
    with open(name, "rb", 0) as file:
        with pytest.raises(PermissionError, match="Operation not permitted"):
            loop.add_reader(file, print)
        assert loop.remove_reader(file) is False


async def test_a_transports_descriptor_is_not_for_others(
    loop: AbstractEventLoop,
) -> None:
    async with connected(Recorder) as (protocol, peer):
        fd = protocol.transport.get_extra_info("socket").fileno()
        for call in (
            lambda: loop.add_reader(fd, print),
            lambda: loop.add_writer(fd, print),
            lambda: loop.remove_reader(fd),
            lambda: loop.remove_writer(fd),
        ):
            with pytest.raises(RuntimeError, match="is used by transport"):
                call()
        data = fill(protocol.transport, protocol)
        assert await peer.recv_exactly(len(data)) == data
        peer.send(b"x")
        assert await protocol.got(1) == b"x"


def test_a_closed_loop_takes_no_reader(loop: AbstractEventLoop, pair: Pair) -> None:
    ours, _ = pair
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_reader(ours, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_writer(ours, print)
