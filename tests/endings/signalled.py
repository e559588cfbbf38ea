"""Programs that get a signal: asleep, running, with requests in flight, and twice."""

from signal import SIGINT, SIGTERM

from .running import Program

ONCE = {"SIGINT": SIGINT, "SIGTERM": SIGTERM}

WAITS = """
async def main():
    try:
        say("asleep")
        await {wait}
    except asyncio.CancelledError:
        say("cancelled")
        raise
    finally:
        say("finally")
"""

FOR_EVER = "asyncio.get_running_loop().create_future()"
A_MINUTE = "asyncio.sleep(60)"

IN_FLIGHT = """
async def serve(reader, writer):
    try:
        await reader.readline()
        say("asleep")
        await reader.readline()
    finally:
        say("request ends")
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"request\\n")
    # Not serve_forever: since 3.12 it waits, when it is cancelled, for the client
    # that is this very task.
    await asyncio.Event().wait()
"""

BUSY = """
async def main():
    say("now")
    while True:
        await asyncio.sleep(0)
"""

COMPUTES = """
async def main():
    say("now")
    task = asyncio.current_task()
    while not task.cancelling():
        pass
    say("again")
    while True:
        pass
"""

SLOW_TO_END = """
async def main():
    try:
        say("asleep")
        await asyncio.sleep(60)
    finally:
        say("once asleep")
        await asyncio.sleep(60)
"""

WITH_A_THREAD = """
if OURS:
    import aioadapt
    other = aioadapt.LoopThread(KIND).start()
else:
    other = Loop()
    threading.Thread(target=other.run_forever, daemon=True).start()
"""

RUN = "run(main())\n"
UNTIL_COMPLETE = """
loop = Loop()
try:
    loop.run_until_complete(main())
finally:
    say(loop.is_running(), loop.is_closed())
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
"""
FOREVER = """
loop = Loop()
task = loop.create_task(main())
try:
    loop.run_forever()
finally:
    say(loop.is_running(), loop.is_closed())
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
"""

PROGRAMS: dict[str, Program] = {
    **{
        f"{how}, {wait}, {name}": Program(
            WAITS.format(wait=expression) + runs, (("asleep", number),)
        )
        for how, runs in [
            ("run", RUN),
            ("run_until_complete", UNTIL_COMPLETE),
            ("run_forever", FOREVER),
        ]
        for wait, expression in [("for ever", FOR_EVER), ("a minute", A_MINUTE)]
        for name, number in [("SIGINT", SIGINT)]
    },
    "run, for ever, SIGTERM": Program(
        WAITS.format(wait=FOR_EVER) + RUN, (("asleep", SIGTERM),)
    ),
    **{
        f"requests in flight, {name}": Program(IN_FLIGHT + RUN, (("asleep", number),))
        for name, number in ONCE.items()
    },
    "never asleep": Program(BUSY + RUN, (("now", SIGINT),)),
    "never in the loop, twice": Program(
        COMPUTES + RUN, (("now", SIGINT), ("again", SIGINT))
    ),
    "slow to end, twice": Program(
        SLOW_TO_END + RUN, (("asleep", SIGINT), ("once asleep", SIGINT))
    ),
    "another loop on a thread": Program(
        WITH_A_THREAD + WAITS.format(wait=FOR_EVER) + RUN, (("asleep", SIGINT),)
    ),
    "before the first iteration": Program(
        """
import time
loop = Loop()
say("asleep")
time.sleep(60)
""",
        (("asleep", SIGINT),),
    ),
    "a handler of the loop": Program(
        """
async def main():
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    say("asleep")
    await stopped.wait()
    say("stopped", loop.remove_signal_handler(signal.SIGTERM))
    say("later asleep")
    await asyncio.sleep(60)
run(main())
""",
        (("asleep", SIGTERM), ("later asleep", SIGTERM)),
    ),
    "a handler that exits": Program(
        """
async def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    say("asleep")
    try:
        await asyncio.sleep(60)
    finally:
        say("finally")
run(main())
""",
        (("asleep", SIGTERM),),
    ),
    "an executor's job": Program(
        """
cancelled = threading.Event()
def job():
    say("asleep")
    cancelled.wait()
    say("job ends")
async def main():
    try:
        await asyncio.get_running_loop().run_in_executor(None, job)
    finally:
        say("cancelled")
        cancelled.set()
run(main())
""",
        (("asleep", SIGINT),),
    ),
    "a subprocess": Program(
        """
async def main():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import signal; signal.signal(2, signal.SIG_DFL);"
        "print(1, flush=True); signal.pause()", stdout=-1)
    await process.stdout.readline()
    say("asleep")
    try:
        await process.wait()
    finally:
        process.kill()
        say("killed", await process.wait())
run(main())
""",
        (("asleep", SIGINT),),
    ),
}
