"""Over the build of ``./run faults``: a few schedules, and that plans are carried out."""

import asyncio
import errno
import signal
import socket
from pathlib import Path

import pytest
from loops import OURS, factory_of, or_skip

from aioadapt._kernel import features

from .boundary import LIBRARY, Boundary
from .plan import FEWER, Strike
from .schedule import played, schedule_of

FAULTS_ONLY = pytest.mark.skipif(
    not LIBRARY, reason="only ./run faults has the build for this"
)


@FAULTS_ONLY
@pytest.mark.parametrize("kind", OURS)
def test_a_send_is_short_where_the_plan_says_so(kind: str) -> None:
    loop = factory_of(or_skip(kind))()
    ours, theirs = socket.socketpair()
    boundary = Boundary()

    theirs.settimeout(5)

    async def write() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        boundary.arm([Strike("send", 0, FEWER, 3)])
        transport.write(b"12345")
        assert transport.get_write_buffer_size() == 2
        assert theirs.recv(100) == b"123"
        while transport.get_write_buffer_size():
            await asyncio.sleep(0)
        assert theirs.recv(100) == b"45"
        transport.close()
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(write())
        assert [str(it) for it in boundary.struck()] == ["send 0: fewer"]
        assert boundary.counts()["send"] == 2
    finally:
        boundary.disarm()
        loop.close()
        theirs.close()


@pytest.mark.skipif(bool(LIBRARY), reason="this is the build that does")
def test_a_build_without_faults_has_nothing_of_them() -> None:
    modules = list(Path(features.__file__).parents[1].glob("*/*.so"))
    assert modules
    assert [path for path in modules if b"__wrap_" in path.read_bytes()] == []


@FAULTS_ONLY
def test_a_signal_handler_that_raises_from_a_full_queue_loses_no_operation() -> None:
    """The queue has one place, so the second receive submits the first."""
    or_skip("uring")

    class Reader(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.received = b""

        def data_received(self, data: bytes) -> None:
            self.received += data

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    loop = factory_of("uring")()
    boundary = Boundary()
    pairs = [socket.socketpair() for _ in range(3)]
    readers: list[Reader] = []

    def reader() -> Reader:
        readers.append(Reader())
        return readers[-1]

    async def open_all() -> None:
        opening = (loop.create_connection(reader, sock=ours) for ours, _ in pairs)
        await asyncio.gather(*opening)

    async def pause_all() -> None:
        for it in readers:
            it.transport.pause_reading()  # type: ignore[attr-defined]

    async def heard() -> None:
        while not all(it.received for it in readers):
            await asyncio.sleep(0)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        boundary.arm([Strike("ring setup", 0, FEWER, 1)])
        loop.run_until_complete(open_all())
        loop.run_until_complete(pause_all())
        interrupts = 0
        for it in readers:
            loop.call_soon(it.transport.resume_reading)  # type: ignore[attr-defined]
        for nth in (*range(8), 100):
            boundary.arm([Strike("ring enter", nth, errno.EINTR, signal.SIGUSR1)])
            loop.call_soon(loop.stop)
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                interrupts += 1
        boundary.disarm()
        assert interrupts
        for _, theirs in pairs:
            theirs.send(b"heard")
        loop.run_until_complete(asyncio.wait_for(heard(), 5))
        for it in readers:
            it.transport.close()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        boundary.disarm()
        signal.signal(signal.SIGUSR1, before)
        loop.close()
        for _, theirs in pairs:
            theirs.close()


@FAULTS_ONLY
@pytest.mark.parametrize("what", [errno.ENOMEM, errno.ECANCELED, errno.EAGAIN])
def test_a_datagram_endpoint_goes_on_where_a_poll_was_refused(what: int) -> None:
    loop = factory_of(or_skip("uring"))()
    boundary = Boundary()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)

    class Reader(asyncio.DatagramProtocol):
        received: asyncio.Future[bytes] = loop.create_future()

        def datagram_received(self, data: bytes, _: object) -> None:
            self.received.set_result(data)

    async def receive() -> None:
        for nth in range(3):
            boundary.arm([Strike("ring poll", 0, what, times=nth)])
            Reader.received = loop.create_future()
            theirs.send(b"question")
            assert await asyncio.wait_for(Reader.received, 5) == b"question"

    try:
        made = loop.create_datagram_endpoint(Reader, sock=ours)
        transport, _ = loop.run_until_complete(made)
        loop.run_until_complete(receive())
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        boundary.disarm()
        loop.close()
        theirs.close()


@FAULTS_ONLY
@pytest.mark.parametrize("kind", OURS)
def test_schedules_hold(kind: str) -> None:
    or_skip(kind)
    problems = {
        seed: found
        for seed in range(40)
        if (found := played(schedule_of(seed, kind)).problems)
    }
    assert problems == {}
