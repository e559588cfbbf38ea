"""nest_asyncio, unchanged: callbacks run the loop that runs them.

It changes asyncio for the whole process, so each test is a program of its own.
"""

import sys

import pytest
from loops import in_words
from programs import printed_by_python

START = """
import asyncio, importlib, sys, nest_asyncio

module, name = sys.argv[1].split(":")
new_loop = getattr(importlib.import_module(module), name)

async def after(delay_s, result):
    await asyncio.sleep(delay_s)
    return result

loop = new_loop()
"""

POLICY = "'asyncio.get_event_loop_policy' is deprecated"
"""nest_asyncio asks for it, on Python 3.14, too."""

no_timeouts = pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="nest_asyncio's tasks are no current tasks there, on asyncio's loop neither",
)


@pytest.fixture
def says(loop_kind: str) -> "Says":
    return Says(loop_kind)


class Says:
    """What a program prints on the test's kind of loop, line by line."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, program: str) -> list[str]:
        return printed_by_python(
            *("-W", "error", "-W", f"ignore:{POLICY}:DeprecationWarning"),
            *("-", in_words(self.kind)),
            stdin=START + program,
        ).splitlines()


@pytest.mark.consumer("nest_asyncio")
def test_a_task_runs_the_loop_that_runs_it(line: str, says: Says) -> None:
    program = f"""
async def deep(levels):
    await asyncio.sleep(0)
    return loop.run_until_complete(deep(levels - 1)) + 1 if levels else 0

async def main():
    {line}
    beside = asyncio.create_task(after(0.01, "beside"))
    print(loop.run_until_complete(after(0, "inside")), await beside)
    print(asyncio.run(after(0, "asyncio.run")))
    print(loop.run_until_complete(deep(30)))
    print(asyncio.current_task() is main_task, asyncio.get_running_loop() is loop)

main_task = loop.create_task(main())
loop.run_until_complete(main_task)
loop.close()
"""
    assert says(program) == ["inside beside", "asyncio.run", "30", "True True"]


def test_without_it_a_loop_does_not_run_within_itself(says: Says) -> None:
    program = """
async def main():
    inside = after(0, None)
    try:
        loop.run_until_complete(inside)
    except RuntimeError as exc:
        print(exc)
    inside.close()

loop.run_until_complete(main())
print(hasattr(loop, "_nest_patched"))
loop.close()
"""
    assert says(program) == ["This event loop is already running", "False"]


def test_connections_are_served_meanwhile(says: Says) -> None:
    program = """
nest_asyncio.apply(loop)

async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def ask(address, size):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(bytes(size))
    got = len(await reader.readexactly(size))
    writer.close()
    await writer.wait_closed()
    return got

class Asks(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        size = int(data)
        self.transport.write(b"%d" % loop.run_until_complete(ask(self.address, size)))
        self.transport.close()

async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    Asks.address = server.sockets[0].getsockname()
    asking = await loop.create_server(Asks, "127.0.0.1", 0)

    async def through(size):
        reader, writer = await asyncio.open_connection(*asking.sockets[0].getsockname())
        writer.write(b"%d" % size)
        got = int(await reader.read())
        writer.close()
        await writer.wait_closed()
        return got

    sizes = [1, 1000, 300_000]
    print(await asyncio.gather(*map(through, sizes)))
    server.close()
    asking.close()

loop.run_until_complete(main())
loop.close()
"""
    assert says(program) == ["[1, 1000, 300000]"]


def test_a_callback_waits_for_a_timer_that_is_due_with_its_own(says: Says) -> None:
    """Both were taken from the heap when the first one runs."""
    program = """
nest_asyncio.apply(loop)

async def main():
    other = loop.create_future()
    together = loop.time() + 0.01
    loop.call_at(together, lambda: print(loop.run_until_complete(other)))
    loop.call_at(together, lambda: other.set_result("it ran"))
    await asyncio.sleep(0.02)

loop.run_until_complete(main())
loop.close()
"""
    assert says(program) == ["it ran"]


@no_timeouts
def test_exceptions_and_stop_end_the_inner_run(says: Says) -> None:
    program = """
nest_asyncio.apply(loop)

async def fail():
    raise KeyError("inside")

async def main():
    for inside in (fail(), asyncio.wait_for(after(50, None), 0.01)):
        try:
            loop.run_until_complete(inside)
        except (KeyError, TimeoutError) as exc:
            print(repr(exc))
    loop.call_soon(loop.stop)
    never = loop.create_future()
    try:
        loop.run_until_complete(never)
    except RuntimeError as exc:
        print(exc)

async def forever():
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    print("stopped")

for end in (main, forever):
    try:
        loop.run_until_complete(end())
        print("whole")
    except RuntimeError as exc:
        print("outside:", exc)
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""
    assert says(program) == [
        "KeyError('inside')",
        "TimeoutError()",
        "Event loop stopped before Future completed.",
        "whole",
        "stopped",
        "whole",
    ]


@no_timeouts
def test_another_loop_runs_within_a_callback_and_on_other_threads(says: Says) -> None:
    program = """
import threading
nest_asyncio.apply(loop)

def run_another():
    other = new_loop()
    print(other.run_until_complete(after(0, "another")))
    other.close()

async def main():
    run_another()
    print(asyncio.get_running_loop() is loop)
    await asyncio.sleep(0)
    await asyncio.to_thread(run_another)

loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
run_another()
"""
    assert says(program) == ["another", "True", "another", "another"]


@pytest.mark.parametrize("debug", [False, True])
def test_what_the_callback_wrote_leaves_before_the_inner_run_waits(
    says: Says, debug: bool
) -> None:
    program = f"""
nest_asyncio.apply(loop)
loop.set_debug({debug})
import socket

async def main():
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.write(b"a question")
    print(loop.run_until_complete(loop.sock_recv(peer, 100)))
    transport.close()
    peer.close()

loop.run_until_complete(main())
loop.close()
"""
    assert says(program) == ["b'a question'"]
