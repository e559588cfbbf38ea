"""Programs that end with a loop left open, or close it with work in flight."""

from .running import Program

CONNECTED = """
lost = []

class Quiet(asyncio.Protocol):
    def connection_lost(self, exc):
        say("lost", exc)
        lost.append(exc)

async def connect(loop):
    global server, client, accepted
    accepted = []
    def factory():
        accepted.append(Quiet())
        return accepted[-1]
    server = await loop.create_server(factory, "127.0.0.1", 0)
    client, _ = await loop.create_connection(Quiet, *server.sockets[0].getsockname())
    while not accepted:
        await asyncio.sleep(0)
"""

IN_FLIGHT = (
    CONNECTED
    + """
def descriptors():
    return set(os.listdir("/proc/self/fd"))

def begin_everything(loop):
    import subprocess
    async def begin():
        await connect(loop)
        client.write(bytes(1 << 25))
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        full = socket.socket()
        full.setblocking(False)
        reading, writing = os.pipe()
        loop.add_reader(reading, print)
        loop.call_later(60, print)
        loop.call_soon(print, "never")
        loop.add_signal_handler(signal.SIGUSR1, print)
        kept.extend([ours, theirs, listener, full, reading, writing])
        loop.create_task(loop.sock_recv(ours, 1), name="recv")
        loop.create_task(loop.sock_sendall(theirs, bytes(1 << 25)), name="send")
        loop.create_task(loop.sock_accept(listener), name="accept")
        loop.run_in_executor(None, released.wait)
        for _ in range(3):
            await asyncio.sleep(0)
        loop.call_soon_threadsafe(print, "never")
    kept.clear()
    loop.run_until_complete(begin())
    loop.stop()

def detach():
    released.set()
    server.close()
    for thing in kept:
        os.close(thing) if isinstance(thing, int) else thing.close()

kept = []
released = threading.Event()
"""
)

IN_FLIGHT_AND_COUNTED = (
    IN_FLIGHT
    + """
loop = Loop()
pending = []
loop.set_exception_handler(lambda _, told: pending.append(told["task"].get_name()))
before = descriptors()
begin_everything(loop)
"""
)

PROGRAMS: dict[str, Program] = {
    "never run": Program("loop = Loop()\n"),
    "never run, warned of": Program("loop = Loop()\n", options=("-X", "dev")),
    "run and left": Program(
        "loop = Loop()\nloop.run_until_complete(asyncio.sleep(0))\n",
        options=("-X", "dev"),
    ),
    "dropped with timers and callbacks": Program(
        "import gc\nloop = Loop()\nloop.call_soon(print)\nloop.call_later(60, print)\n"
        "del loop\ngc.collect()\nsay('collected')\n",
        options=("-W", "always"),
    ),
    "run and dropped": Program(
        "loop = Loop()\nloop.run_until_complete(asyncio.sleep(0))\n"
        "del loop\nsay('goes on')\n",
        options=("-W", "always"),
    ),
    "transports open": Program(
        CONNECTED + "loop = Loop()\nloop.run_until_complete(connect(loop))\n"
    ),
    "transports open, warned of": Program(
        # An accepted connection's socket object is created only on request.
        "import warnings\nwarnings.filterwarnings('ignore', 'unclosed <socket')\n"
        + CONNECTED
        + "loop = Loop()\nloop.run_until_complete(connect(loop))\n"
        + "accepted.clear()\ndel client, server\nloop.close()\n",
        options=("-X", "dev"),
    ),
    "everything in flight": Program(
        IN_FLIGHT + "loop = Loop()\nbegin_everything(loop)\nreleased.set()\n"
    ),
    "dropped with everything in flight": Program(
        IN_FLIGHT_AND_COUNTED
        + """
import gc, warnings
released.set()
loop._default_executor.shutdown(wait=True)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    # An accepted connection has a socket object from the start in asyncio.
    warnings.filterwarnings("ignore", "unclosed <socket")
    del loop
    detach()
    del server, client, accepted
    gc.collect()
    gc.collect()
say(*sorted(str(warning.message).partition("<")[0] for warning in told))
say("pending", *sorted(pending))
say("left", len(descriptors() - before))
"""
    ),
    "closed with everything in flight": Program(
        IN_FLIGHT_AND_COUNTED
        + """
import gc
loop.close()
say("closed", loop.is_closed())
detach()
del server, client, accepted
gc.collect()
say("pending", *sorted(pending))
say("left", len(descriptors() - before) <= 0)
"""
    ),
    "everything in flight, closed at exit": Program(
        IN_FLIGHT
        + """
import atexit
loop = Loop()
@atexit.register
def close():
    loop.close()
    say("closed", loop.is_closed())
begin_everything(loop)
released.set()
"""
    ),
    "run at exit": Program(
        """
import atexit
loop = Loop()
async def main():
    await asyncio.sleep(0.001)
    say("ran at exit")
@atexit.register
def at_exit():
    loop.run_until_complete(main())
    loop.close()
loop.run_until_complete(main())
"""
    ),
    "on a daemon thread": Program(
        """
loop = Loop()
started = threading.Event()
threading.Thread(target=loop.run_forever, daemon=True).start()
loop.call_soon_threadsafe(started.set)
started.wait()
say("ends")
"""
    ),
    "on a daemon thread, at work": Program(
        CONNECTED
        + """
loop = Loop()
started = threading.Event()
async def work():
    await connect(loop)
    started.set()
    while True:
        client.write(b"x")
        await asyncio.sleep(0)
def thread():
    asyncio.set_event_loop(loop)
    loop.run_until_complete(work())
threading.Thread(target=thread, daemon=True).start()
started.wait()
say("ends")
"""
    ),
    "on a thread that is stopped at exit": Program(
        """
loop = Loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
say("ends")
"""
    ),
    "on a thread that has ended": Program(
        CONNECTED
        + """
def thread():
    global loop
    loop = Loop()
    loop.run_until_complete(connect(loop))
other = threading.Thread(target=thread)
other.start()
other.join()
say("ends")
"""
    ),
    "a loop per thread": Program(
        """
ran = []
def work():
    ran.append(run(asyncio.sleep(0.001, 1)))
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
say(len(ran))
"""
    ),
    "a second loop": Program(
        """
first, second = Loop(), Loop()
first.run_until_complete(asyncio.sleep(0))
second.run_until_complete(asyncio.sleep(0))
first.close()
second.run_until_complete(asyncio.sleep(0.001))
second.close()
run(asyncio.sleep(0))
say(first.is_closed(), second.is_closed())
""",
        options=("-X", "dev"),
    ),
    "exit inside a callback": Program(
        "loop = Loop()\nloop.call_soon(sys.exit, 4)\nloop.run_forever()\n"
    ),
    "exit inside a task": Program(
        CONNECTED
        + "async def main():\n    await connect(asyncio.get_running_loop())\n"
        + "    sys.exit(5)\nrun(main())\n"
    ),
    "an error in the main task": Program(
        "async def main():\n    raise ValueError('it')\nrun(main())\n",
        options=("-X", "dev"),
    ),
    "a task left pending": Program(
        """
loop = Loop()
async def waits():
    await loop.create_future()
task = loop.create_task(waits(), name="waits")
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""
    ),
    "used while the interpreter ends": Program(
        """
loop = Loop()
class Late:
    def __del__(self):
        try:
            loop.call_soon(print)
            loop.call_later(1, print)
            loop.close()
        except Exception as error:
            os.write(1, f"{type(error).__name__}\\n".encode())
        else:
            os.write(1, b"used\\n")
late = Late()
loop.run_until_complete(asyncio.sleep(0))
sys.modules["late"] = late
"""
    ),
    "a forked child that ends": Program(
        CONNECTED
        + """
import warnings
warnings.simplefilter("ignore")
loop = Loop()
loop.run_until_complete(connect(loop))
child = os.fork()
if child == 0:
    sys.exit(6)
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
async def end():
    server.close()
    client.close()
    while len(lost) < 2:
        await asyncio.sleep(0)
loop.run_until_complete(end())
loop.close()
"""
    ),
}

WITH_EVERYTHING = (
    CONNECTED
    + """
async def waits():
    await asyncio.get_running_loop().create_future()

async def begin(loop):
    await connect(loop)
    client.write(b"x")
    loop.call_later(60, print)
    task = loop.create_task(waits())
    await loop.run_in_executor(None, int)
    datagrams = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return task, datagrams

loop = Loop()
begun = loop.run_until_complete(begin(loop))
"""
)

RUN = "loop = Loop()\nloop.run_until_complete(asyncio.sleep(0))\n"

#: Who still refers to the loop when the interpreter ends.
HELD = {
    "a global": "",
    "a module that was imported before": "socket.held = loop\ndel loop\n",
    "a module that was imported later": "import this_one\nthis_one.held = loop\n",
    "the policy": "asyncio.set_event_loop(loop)\ndel loop\n",
    "builtins": "import builtins\nbuiltins.held = loop\ndel loop\n",
    "sys": "sys.held = loop\ndel loop\n",
    "a thread's local": "socket.local = threading.local()\n"
    "socket.local.loop = loop\ndel loop\n",
    "a module, with all": "socket.held = globals().copy()\n"
    "for name in list(socket.held):\n    del globals()[name]\n",
    "a daemon thread": "threading.Thread(target=loop.run_forever, daemon=True).start()\n"
    "asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()\n",
}

HELD_PROGRAMS: dict[str, Program] = {
    f"{what} held by {holder}{options and ', warned of'}": Program(
        "sys.modules['this_one'] = type(sys)('this_one')\n" + source + held,
        options=tuple(options.split()),
    )
    for what, source in [("loop", RUN), ("loop with all", WITH_EVERYTHING)]
    for holder, held in HELD.items()
    for options in ("", "-X dev")
} | {
    "a child process": Program(
        """
loop = Loop()
async def start():
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "open(0).read()", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
process = loop.run_until_complete(start())
"""
    ),
}
