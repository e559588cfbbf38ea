"""A forked child has the parent's descriptors and must not touch what they refer to.

An epoll instance is shared: what the child unregisters is no longer reported
to the parent.  A ring's memory is not mapped in the child at all.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from forking import in_a_child
from loops import Run, in_words

import aioadapt

pytestmark = pytest.mark.ours_only

USED = 0
REFUSED = 2


def outcome(use: Callable[[], Any]) -> int:
    try:
        use()
    except aioadapt.ForkedLoopError:
        return REFUSED
    return USED


class Got(asyncio.Protocol):
    def __init__(self) -> None:
        self.data: asyncio.Future[bytes]

    def data_received(self, data: bytes) -> None:
        self.data.set_result(data)


MISUSES: dict[str, Callable[[Any, Any, socket.socket, Any], Any]] = {
    "abort": lambda _, transport, *__: transport.abort(),
    "close": lambda _, transport, *__: transport.close(),
    "pause_reading": lambda _, transport, *__: transport.pause_reading(),
    "remove_reader": lambda loop, _, watched, __: loop.remove_reader(watched),
    "add_reader": lambda loop, _, watched, __: loop.add_reader(watched, print),
    "add_writer": lambda loop, _, watched, __: loop.add_writer(watched, print),
    "close a server": lambda _, __, ___, server: server.close(),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_child_that_uses_what_is_the_parents_is_refused_and_the_parent_works_on(
    loop: asyncio.AbstractEventLoop, run: Run, misuse: str
) -> None:
    connected, peer = socket.socketpair()
    watched, watched_peer = socket.socketpair()
    watched.setblocking(False)

    async def main() -> None:
        transport, protocol = await loop.create_connection(Got, sock=connected)
        protocol.data = loop.create_future()
        readable = loop.create_future()

        def tell_readable() -> None:
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(watched, tell_readable)
        accepted = loop.create_future()

        def make() -> asyncio.Protocol:
            accepted.set_result(None)
            return asyncio.Protocol()

        server = await loop.create_server(make, "127.0.0.1", 0)
        for _ in range(3):
            await asyncio.sleep(0)

        use = partial(MISUSES[misuse], loop, transport, watched, server)
        assert in_a_child(partial(outcome, use)) == REFUSED
        peer.send(b"still heard")
        watched_peer.send(b"x")
        assert await protocol.data == b"still heard"
        await readable
        loop.remove_reader(watched)
        with socket.create_connection(server.sockets[0].getsockname()):
            await accepted
        server.close()
        for stream in loop.streams():  # type: ignore[attr-defined]
            stream.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)

    run(main())
    for sock in (peer, watched, watched_peer):
        sock.close()


LEAVES_THROUGH_THE_INTERPRETER = """
import asyncio, os, socket, sys
import aioadapt

class Got(asyncio.Protocol):
    def data_received(self, data):
        self.data.set_result(data)

async def main():
    loop = asyncio.get_running_loop()
    connected, peer = socket.socketpair()
    transport, protocol = await loop.create_connection(Got, sock=connected)
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.exit(7)
    for words in (b"while it leaves", b"after it left"):
        protocol.data = loop.create_future()
        peer.send(words)
        assert await protocol.data == words
        _, status = os.waitpid(pid, 0) if b"while" in words else (0, status)
    assert os.waitstatus_to_exitcode(status) == {status}, status
    print("the parent works on")
    transport.abort()

asyncio.Runner(loop_factory=aioadapt.{name}).run(main())
"""


def test_a_child_forked_by_a_running_loop_can_leave_through_the_interpreter(
    loop_kind: str,
) -> None:
    """sys.exit in the child finishes coroutines and runs every destructor.

    Since Python 3.14 a task that runs in a forked child cannot finish: asyncio
    reports a RuntimeError and continues, so with asyncio's own loop the child runs
    forever.  With ours it exits with an error that names the cause.
    """
    name = in_words(loop_kind).partition(":")[2]
    status = 7 if sys.version_info < (3, 14) else 1
    code = LEAVES_THROUGH_THE_INTERPRETER.replace("{name}", name)
    code = code.replace("{status}", str(status))

    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.returncode, done.stdout) == (0, "the parent works on\n"), done.stderr


FREES_A_LOOP_OF_THE_PARENTS = """
import gc, mmap, os, sys, warnings
import aioadapt

def fill_the_places_of_the_rings_memory():
    return [mmap.mmap(-1, size) for size in (1 << 20, 1 << 14, 1 << 12) for _ in range(128)]

warnings.simplefilter("ignore")
loop = aioadapt.{name}()
loop.run_until_complete(loop.run_in_executor(None, int))
loop.run_until_complete(loop.shutdown_default_executor())
if os.fork() == 0:
    places = fill_the_places_of_the_rings_memory()
    if "closed by the child" in sys.argv:
        loop.close()
    del loop
    gc.collect()
    for place in places:
        place.write(bytes(len(place)))
    os._exit(7)
_, status = os.wait()
assert os.waitstatus_to_exitcode(status) == 7, status
loop.close()
"""


@pytest.mark.parametrize("when", ["dropped unclosed", "closed by the child"])
def test_a_child_that_frees_the_parents_loop_keeps_the_memory_it_has_mapped_since(
    loop_kind: str, when: str
) -> None:
    """A ring's memory is not in the child, which may map other memory in its place."""
    name = in_words(loop_kind).partition(":")[2]
    code = FREES_A_LOOP_OF_THE_PARENTS.replace("{name}", name)

    done = subprocess.run(
        [sys.executable, "-c", code, when],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_callback_wrote_before_it_forks_is_sent_once_and_by_the_parent(
    loop: asyncio.AbstractEventLoop, run: Run
) -> None:
    connected, peer = socket.socketpair()
    peer.settimeout(10)
    seen_by_child: list[int] = []

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=connected)
        await asyncio.sleep(0)

        def see_and_abort() -> int:
            there = peer.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            outcome(transport.abort)
            return len(there)

        transport.write(b"before the fork")
        seen_by_child.append(in_a_child(see_and_abort))
        transport.close()
        await asyncio.sleep(0)

    run(main())

    assert seen_by_child == [len(b"before the fork")]
    assert peer.recv(100, socket.MSG_WAITALL) == b"before the fork"
    peer.close()
