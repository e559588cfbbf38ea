"""Listeners that run out of descriptors, and one that is not TCP."""

import asyncio
import socket
from asyncio import AbstractEventLoop

import pytest
from confined import run_confined
from loops import Run, in_words

pytestmark = pytest.mark.ours_only

SHORT_OF_DESCRIPTORS = """
import asyncio, os, resource, socket, sys
from asyncio import Protocol
from aioadapt._stream import listener as listeners

assert listeners.ACCEPT_RETRY_DELAY_S > 0.01
listeners.ACCEPT_RETRY_DELAY_S = 0.01

loop = aioadapt.{name}()
refused = asyncio.Event()
said = []

def handler(loop, context):
    global listener
    said.append(context["message"])
    (listener,) = loop.listeners.values()
    {meanwhile}
    loop.set_exception_handler(None)
    refused.set()

loop.set_exception_handler(handler)
accepted = []
made = asyncio.Event()

class P(Protocol):
    def connection_made(self, transport):
        accepted.append(transport)
        made.set()

async def main():
    global server
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listening.getsockname())
    server = await loop.create_server(P, sock=listening, start_serving=False)
    # The ring's accept heeds the limit that held when it was submitted.
    used = max(map(int, os.listdir("/proc/self/fd")))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    fillers = []
    try:
        while True:
            fillers.append(os.dup(0))
    except OSError:
        pass
    await server.start_serving()
    await refused.wait()
    for fd in fillers:
        os.close(fd)
    # Timers run in order, and the retry's is due before this one; what it
    # begins is heard of when the kernel is asked the next time.
    await asyncio.sleep(0.05)
    for _ in range(4):
        await asyncio.sleep(0)
    print(len(accepted), *said, loop.stats().errors > 0)
    if {resumed}:
        listener.resume()
        await made.wait()
        print(len(accepted))
    os._exit(0)

sys.stdout.reconfigure(line_buffering=True)
loop.run_until_complete(asyncio.wait_for(main(), 10))
"""


# The final True: it is counted as an error.
REFUSED = " socket.accept() out of system resource True"


def short_of_descriptors(loop_kind: str, meanwhile: str, resumed: bool) -> list[str]:
    _, _, name = in_words(loop_kind).partition(":")
    program = SHORT_OF_DESCRIPTORS.format(
        name=name, meanwhile=meanwhile, resumed=resumed
    )
    return run_confined(program).splitlines()


def test_a_listener_short_of_descriptors_tries_again(loop_kind: str) -> None:
    assert short_of_descriptors(loop_kind, "pass", False) == ["1" + REFUSED]


def test_a_listener_paused_while_short_of_descriptors_stays_paused(
    loop_kind: str,
) -> None:
    assert short_of_descriptors(loop_kind, "listener.pause()", True) == [
        "0" + REFUSED,
        "1",
    ]


def test_a_server_closed_while_short_of_descriptors_stays_closed(
    loop_kind: str,
) -> None:
    assert short_of_descriptors(loop_kind, "server.close()", False) == ["0" + REFUSED]


FREED = """
import asyncio, os, resource, socket, sys
from aioadapt._stream import listener as listeners

listeners.ACCEPT_RETRY_DELAY_S = 1000
loop = aioadapt.{name}()
said = []
loop.set_exception_handler(lambda loop, context: said.append(context["message"]))
CLIENTS, AT_ONCE = 100, 10

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.transport.close()

async def main():
    server = await loop.create_server(Answer, "127.0.0.1", 0)
    clients = []
    for number in range(CLIENTS):
        clients.append(socket.create_connection(server.sockets[0].getsockname()))
        clients[-1].setblocking(False)
    used = max(map(int, os.listdir("/proc/self/fd")))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    fillers = []
    try:
        while True:
            fillers.append(os.dup(0))
    except OSError:
        for fd in fillers[:AT_ONCE]:
            os.close(fd)
        del fillers[:AT_ONCE]
    while not said:
        await asyncio.sleep(0)
    for client in clients:
        await loop.sock_sendall(client, b"x")
        assert await loop.sock_recv(client, 1) == b"x"
    print(len(clients), *said, loop.stats().errors, flush=True)
    os._exit(0)

loop.run_until_complete(asyncio.wait_for(main(), 20))
"""


def test_a_listener_short_of_descriptors_goes_on_when_a_connection_is_closed(
    loop_kind: str,
) -> None:
    """It reports once, and its timer is not needed."""
    _, _, name = in_words(loop_kind).partition(":")

    assert run_confined(FREED.format(name=name)) == (
        "100 socket.accept() out of system resource 1"
    )


def test_a_family_that_is_not_tcps_is_served(loop: AbstractEventLoop, run: Run) -> None:
    """Virtual machines use AF_VSOCK, which has streams but no TCP_NODELAY."""
    try:
        listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError as error:
        pytest.skip(f"no AF_VSOCK here: {error}")
    with listener:
        try:
            listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        except OSError as error:
            pytest.skip(f"no AF_VSOCK here: {error}")

        async def main() -> None:
            server = await loop.create_server(asyncio.Protocol, sock=listener)
            assert server.is_serving()
            server.close()
            await server.wait_closed()

        run(main())
