"""uvicorn and aiohttp that get a signal: idle, with a request in flight, starting, twice."""

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

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                {starting}
            await send({{"type": message["type"] + ".complete"}})
            say(message["type"])
            if message["type"] == "lifespan.shutdown":
                return
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
UNTIL_KILLED = """
    while not server.should_exit:
        await asyncio.sleep(0.001)
    say("again")
    await asyncio.sleep(60)
"""


def uvicorn(
    *,
    starting: str = "pass",
    started: str = "say('started')",
    handling: str = "pass",
) -> str:
    return UVICORN.format(starting=starting, started=started, handling=handling.strip())


AIOHTTP = (
    CLIENT
    + """
from aiohttp import web

async def handler(request):
    say("in flight")
    await asyncio.sleep(0.05)
    say("handled")
    return web.Response(text="ok", headers={{"Connection": "close"}})

async def on_startup(app):
    {starting}

async def on_cleanup(app):
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


WAITS = "say('starting'); await asyncio.sleep(0.2); say('go on')"

MOMENTS = {
    "uvicorn, idle": (uvicorn(), "started"),
    "uvicorn, in flight": (
        uvicorn(started="asking.start()", handling=UNTIL_SIGNALLED),
        "in flight",
    ),
    "uvicorn, starting": (uvicorn(starting=WAITS), "starting"),
    "aiohttp, idle": (aiohttp(), "started"),
    "aiohttp, in flight": (aiohttp(started="asking.start()"), "in flight"),
    "aiohttp, starting": (aiohttp(starting=WAITS), "starting"),
}

SIGNALLED: dict[str, Program] = {
    f"{moment}, {number.name}": Program(
        source,
        ((line, number),),
        # The client is a thread.
        unordered="in flight" in moment,
    )
    for number in (SIGINT, SIGTERM)
    for moment, (source, line) in MOMENTS.items()
}

TWICE = Program(
    uvicorn(started="asking.start()", handling=UNTIL_KILLED),
    (("in flight", SIGINT), ("again", SIGINT)),
    # The tasks are cancelled in the order of a set, which is any.
    unordered=True,
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
