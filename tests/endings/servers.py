"""uvicorn and aiohttp that get a signal: idle, starting, with a request in flight, or
twice."""

import sys
from signal import SIGINT, SIGTERM

from .running import Program

CLIENT = """
listener = socket.create_server(("127.0.0.1", 0))

def client():
    with socket.create_connection(listener.getsockname()) as sock:
        sock.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = b""
        while more := sock.recv(4096):
            answer += more
        say("answer", answer[:15])

asking = threading.Thread(target=client)

async def until_it_has_its_answer():
    while asking.is_alive():
        await asyncio.sleep(0.001)
"""

UVICORN = (
    CLIENT
    + """
import uvicorn

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        if self.started:
            {started}

lifespan_ended = asyncio.Event()

async def lifespan(receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    {starting}
    await send({{"type": "lifespan.startup.complete"}})
    say("startup")
    assert (await receive())["type"] == "lifespan.shutdown"
    await until_it_has_its_answer()
    await send({{"type": "lifespan.shutdown.complete"}})
    say("shutdown")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        try:
            return await lifespan(receive, send)
        finally:
            lifespan_ended.set()
    say("in flight")
    {handling}
    await send({{"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"2"), (b"connection", b"close")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})

server = Server(uvicorn.Config(app, loop=LOOP, access_log=False))
try:
    server.run(sockets=[listener])
finally:
    if asking.ident is not None:
        asking.join()
"""
)

UNTIL_SIGNALLED = """
    while not server.should_exit:
        await asyncio.sleep(0.001)
"""
UNTIL_KILLED = (
    UNTIL_SIGNALLED
    + """
    try:
        say("again")
        await asyncio.sleep(60)
    finally:
        # The tasks are cancelled in the order of a set, which is any.
        await lifespan_ended.wait()
"""
)
UNTIL_FORCED = (
    UNTIL_SIGNALLED
    + """
    say("again")
    while not server.force_exit:
        await asyncio.sleep(0.001)
"""
)
STARTS_UNTIL_SIGNALLED = f"""
    say("starting")
    {UNTIL_SIGNALLED.strip()}
    say("go on")
"""


def uvicorn(
    *,
    starting: str = "pass",
    started: str = "say('started')",
    handling: str = "pass",
) -> str:
    return UVICORN.format(
        starting=starting.strip(), started=started, handling=handling.strip()
    )


AIOHTTP = (
    CLIENT
    + """
from aiohttp import web

async def handler(request):
    say("in flight")
    while listener.fileno() != -1:
        await asyncio.sleep(0.001)
    say("handled")
    return web.Response(text="ok", headers={{"Connection": "close"}})

async def on_startup(app):
    {starting}

async def on_cleanup(app):
    await until_it_has_its_answer()
    say("cleanup")

def printed(text):
    say(text)
    {started}

app = web.Application()
app.router.add_get("/", handler)
app.on_startup.append(on_startup)
app.on_cleanup.append(on_cleanup)
web.run_app(app, sock=listener, print=printed, loop=Loop(), shutdown_timeout=5)
if asking.ident is not None:
    asking.join()
say("after")
"""
)


def aiohttp(*, starting: str = "pass", started: str = "say('started')") -> str:
    return AIOHTTP.format(starting=starting, started=started)


UNTIL_CANCELLED = "say('starting'); await asyncio.sleep(60)"

MOMENTS = {
    "uvicorn, idle": (uvicorn(), "started"),
    "uvicorn, in flight": (
        uvicorn(started="asking.start()", handling=UNTIL_SIGNALLED),
        "in flight",
    ),
    "uvicorn, starting": (uvicorn(starting=STARTS_UNTIL_SIGNALLED), "starting"),
    "aiohttp, idle": (aiohttp(), "started"),
    "aiohttp, in flight": (aiohttp(started="asking.start()"), "in flight"),
    "aiohttp, starting": (aiohttp(starting=UNTIL_CANCELLED), "starting"),
}

SIGNALLED: dict[str, Program] = {
    f"{moment}, {number.name}": Program(source, ((line, number),))
    for number in (SIGINT, SIGTERM)
    for moment, (source, line) in MOMENTS.items()
}

# From 3.12 on asyncio's server waits for its connections, and uvicorn for the server,
# even after a second signal.
TWICE = Program(
    uvicorn(
        started="asking.start()",
        handling=UNTIL_KILLED if sys.version_info < (3, 12) else UNTIL_FORCED,
    ),
    (("in flight", SIGINT), ("again", SIGINT)),
)

PROGRAMS: dict[str, Program] = {
    **{
        name: SIGNALLED[name]
        for name in (
            "uvicorn, idle, SIGINT",
            "uvicorn, in flight, SIGTERM",
            "uvicorn, starting, SIGINT",
            "aiohttp, idle, SIGTERM",
            "aiohttp, in flight, SIGINT",
            "aiohttp, starting, SIGINT",
        )
    },
    "uvicorn, twice": TWICE,
}

MORE = {name: each for name, each in SIGNALLED.items() if name not in PROGRAMS}
