"""The kernel has no memory for what epoll_ctl(2) is asked: one connection ends, at most.

Each program forbids itself to change (MOD) or to add (ADD) what is watched, from a certain
point on.
"""

import pytest
from confined import run_confined
from loops import OURS, or_skip

pytestmark = pytest.mark.ours_only

SET_UP = """
import asyncio, errno, select, socket
from confined import install_filter

ADD, MOD = 1, 3                   # EPOLL_CTL_ADD, EPOLL_CTL_MOD
MUCH = b"x" * 3_000_000

def no_memory_for(operation):
    install_filter([("epoll_ctl", errno.ENOMEM, operation)])

class P(asyncio.Protocol):
    def __init__(self):
        self.calls = []
        self.received = b""
        self.lost = asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.received += data
    def eof_received(self):
        self.calls.append("eof_received")
        return True
    def pause_writing(self):
        self.calls.append("pause_writing")
    def connection_lost(self, exc):
        assert not self.lost.done()
        self.lost.set_result(exc)

async def connected():
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    _, protocol = await loop.create_connection(P, sock=ours)
    return protocol, theirs

def read_all(sock):
    read = b""
    while data := sock.recv(1 << 20):
        read += data
    return read

reported = []
loop = aioadapt.{name}()
loop.set_exception_handler(lambda _, context: reported.append(context))
"""

RUN = """
async def within():
    async with asyncio.timeout(5):
        await main()

loop.run_until_complete(within())
loop.close()
"""

CLASSES = {
    "epoll": "EpollEventLoop",
    "uring": "UringEventLoop",
    "adaptive": "AdaptiveEventLoop",
    "swapping": "AdaptiveEventLoop",
}


def play(main: str, kind: str = "epoll") -> str:
    set_up = SET_UP.replace("{name}", CLASSES[or_skip(kind)])
    return run_confined(
        set_up + main + RUN, imports=["asyncio", "socket", "select", "confined"]
    )


def test_a_write_that_cannot_wait_for_room_ends_its_connection() -> None:
    """asyncio raises and forgets what it could not send: the next write would leave a
    gap."""
    play("""
async def main():
    protocol, peer = await connected()
    other, other_peer = await connected()
    protocol.transport.pause_reading()     # so that nothing is watched
    no_memory_for(ADD)
    protocol.transport.write(MUCH)
    protocol.transport.write(b"this would follow a gap")
    exc = await protocol.lost
    assert exc.errno == errno.ENOMEM, exc
    got = await asyncio.to_thread(read_all, peer)
    assert MUCH.startswith(got) and got, len(got)
    other_peer.send(b"still there")
    while not other.received:
        await asyncio.sleep(0)
    other.transport.abort()
    assert reported == [], reported
""")


def test_an_end_of_file_that_cannot_be_unwatched_ends_its_connection() -> None:
    play("""
async def main():
    protocol, peer = await connected()
    protocol.transport.write(MUCH)
    no_memory_for(MOD)
    peer.shutdown(socket.SHUT_WR)
    exc = await protocol.lost
    assert exc.errno == errno.ENOMEM, exc
    assert protocol.calls == ["pause_writing", "eof_received"], protocol.calls
    assert MUCH.startswith(await asyncio.to_thread(read_all, peer))
    assert reported == [], reported
""")


def test_a_wait_for_room_that_cannot_be_ended_ends_its_connection() -> None:
    play("""
async def main():
    protocol, peer = await connected()
    protocol.transport.write(MUCH)
    no_memory_for(MOD)
    reading = asyncio.create_task(asyncio.to_thread(read_all, peer))
    exc = await protocol.lost
    assert exc.errno == errno.ENOMEM, exc
    assert await reading == MUCH
    assert reported == [], reported
""")


def test_a_close_that_cannot_stop_reading_ends_the_connection() -> None:
    play("""
async def main():
    protocol, peer = await connected()
    protocol.transport.write(MUCH)
    no_memory_for(MOD)
    protocol.transport.close()
    exc = await protocol.lost
    assert exc.errno == errno.ENOMEM, exc
    assert MUCH.startswith(await asyncio.to_thread(read_all, peer))
    assert reported == [], reported
""")


@pytest.mark.parametrize("kind", OURS)
def test_a_sock_call_that_cannot_stop_watching_has_its_result(kind: str) -> None:
    """As in asyncio: what removes the watch fails in a callback of its own."""
    play(
        """
async def main():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    sending = asyncio.create_task(loop.sock_sendall(ours, MUCH))
    receiving = asyncio.create_task(loop.sock_recv(ours, 100))
    await asyncio.sleep(0.001)
    no_memory_for(MOD)
    theirs.send(b"answer")
    try:
        assert await receiving == b"answer"
    except OSError as exc:                 # from the finally of sock_recv
        assert exc.errno == errno.ENOMEM
    assert [type(it["exception"]) for it in reported] == [OSError]
    sending.cancel()
    ours.close()
    theirs.close()
""",
        kind,
    )


@pytest.mark.parametrize("kind", OURS)
def test_a_server_that_cannot_be_watched_is_not_kept(kind: str) -> None:
    play(
        """
async def main():
    listening = socket.create_server(("127.0.0.1", 0))
    no_memory_for(ADD)
    try:
        await loop.create_server(P, sock=listening)
    except OSError as exc:
        assert exc.errno == errno.ENOMEM, exc
    else:
        raise AssertionError("no error")
    assert loop.listeners == {}
    listening.close()
    assert listening.fileno() == -1
""",
        kind,
    )


def test_a_datagram_that_cannot_wait_is_the_callers_error_and_ends_nothing() -> None:
    play("""
async def main():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, sock=ours)
    await asyncio.sleep(0)
    no_memory_for(MOD)
    try:
        while True:
            transport.sendto(b"x" * 1000)
    except OSError as exc:
        assert exc.errno == errno.ENOMEM, exc
    assert transport.get_write_buffer_size() == 0
    assert theirs.recv(2000) == b"x" * 1000
    transport.sendto(b"there is room again")
    transport.close()
    await asyncio.sleep(0)
    received = []
    theirs.setblocking(False)
    try:
        while data := theirs.recv(2000):
            received.append(data)
    except BlockingIOError:
        pass
    assert received[-1] == b"there is room again"
    theirs.close()
""")


def test_a_ring_that_cannot_be_made_anew_leaves_its_transports_usable() -> None:
    """On another thread the loop needs another ring.  Without one, what is begun waits
    until the loop runs again."""
    play(
        """
import threading

async def first():
    return await connected()

protocol, peer = loop.run_until_complete(first())

def run_elsewhere():
    install_filter([("io_uring_setup", errno.ENOMEM, None)])     # of this thread
    try:
        loop.run_forever()
    except OSError as exc:
        failures.append(exc)

failures = []
thread = threading.Thread(target=run_elsewhere)
thread.start()
thread.join()
assert [exc.errno for exc in failures] == [errno.ENOMEM], failures
protocol.transport.pause_reading()
protocol.transport.resume_reading()
protocol.transport.write(MUCH)

async def main():
    peer.setblocking(False)
    got = 0
    while got < len(MUCH):
        got += len(await loop.sock_recv(peer, 1 << 20))
    peer.send(b"answer")
    while not protocol.received:
        await asyncio.sleep(0)
    protocol.transport.abort()
""",
        "uring",
    )
