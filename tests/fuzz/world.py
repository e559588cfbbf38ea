"""The world of one program: a loop, its connections, and their peers.

The peers are plain sockets, used between two iterations of the loop by the thread that
runs it.  Over loopback whatever one end does has reached the other end when the call
returns.  So a program is the same in every run, and no step waits for a clock.
"""

import asyncio
import contextvars
import gc
import re
import socket
import struct
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from loops import factory_of

from .log import MOST_EVENTS, Log, Traces, cause, in_words
from .program import Act, Program, Step, Where

QUIET_ITERATIONS = 5
MOST_ITERATIONS = 3000
BUFFER_BYTES = 32768
SEGMENT_BYTES = 1400
"""So that what sockets hold does not depend on the kernel's tuning, nor its progress on
timers, as it does where a segment (64 KiB over loopback) is larger than the buffers."""

_PATTERN = bytes(range(251)) * 17000


def pattern(start: int, size: int) -> bytes:
    """*size* bytes of an endless stream in which lost or swapped bytes are seen."""
    return _PATTERN[start % 251 :][:size]


class TooMuch(Exception):
    """A program that does not come to rest."""


class Absent(Exception):
    """What a step is about does not exist (yet)."""


class Peer:
    """The other end of a connection."""

    def __init__(self, sock: socket.socket, reads: bool) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.reads = reads
        self.sent = 0
        self.to_send = 0
        self.got = 0
        self.end = ""
        self.is_corrupt = False

    def send(self) -> bool:
        """Send what the socket takes; False if that is nothing."""
        before = self.sent
        try:
            while self.to_send:
                n = self.sock.send(pattern(self.sent, self.to_send))
                self.sent += n
                self.to_send -= n
        except BlockingIOError:
            pass
        except OSError:
            self.to_send = 0
        return self.sent != before

    def read(self) -> bool:
        """Take everything that is there; False if that is nothing."""
        before = self.got, self.end
        while not self.end:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError as error:
                self.end = type(error).__name__
                break
            if not data:
                self.end = "the end"
            elif data != pattern(self.got, len(data)):
                self.is_corrupt = True
            self.got += len(data)
        return before != (self.got, self.end)

    def __str__(self) -> str:
        return self._in_words(f"{self.got} bytes")

    def roughly(self) -> str:
        """How much a full socket holds is the kernel's business."""
        few = self.got < BUFFER_BYTES // 2
        return self._in_words(f"{self.got} bytes" if few else "many bytes")

    def _in_words(self, much: str) -> str:
        state = f"{much}{', corrupt' if self.is_corrupt else ''}"
        return f"{state}, then {self.end}" if self.end else state


class Connection:
    """A transport of the loop, its protocol's callbacks, and its peer."""

    def __init__(self, world: "World", name: str, peer: Peer) -> None:
        self.world = world
        self.name = name
        self.peer = peer
        self.transport: Any = None
        self.protocol: Any = None
        self.written = 0
        self.received = 0
        self.reactions: dict[str, deque[Act]] = {}
        self.is_lost = False
        self.is_part = False
        self.last_state: tuple[Any, ...] = ()

    def called(self, callback: str, *details: Any) -> Any:
        """Log a callback, and do what the program wants done in it."""
        self.world.log.called(self.name, callback, *details, _who())
        return self.react(callback)

    def react(self, callback: str) -> Any:
        waiting = self.reactions.get(callback)
        if not waiting:
            return None
        act = waiting.popleft()
        given = self.world.do(act, self)
        return given if act.verb == "give" else None

    def note_state(self) -> None:
        state: tuple[Any, ...] = ()
        is_part = False
        if self.transport is not None:
            is_part = self.transport.get_write_buffer_size() > 0
            state = ("closing", self.transport.is_closing()), ("unsent", is_part)
            if not self.is_lost:
                state += (("reading", self.transport.is_reading()),)
        self.is_part = self.is_part or is_part
        is_stuck = self.is_part or not self.peer.reads
        state += (self.peer.roughly() if is_stuck else str(self.peer),)
        if state != self.last_state:
            self.last_state = state
            self.world.log.add(self.name, "now", *state)


def _who() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return "no loop"
    if task is None:
        return "callback"
    return "task " + str(getattr(task.get_coro(), "__name__", "?"))


class Listening:
    """A server of the loop; accepted connections come in the order of connecting."""

    def __init__(self, server: asyncio.Server) -> None:
        self.server = server
        self.sock = server.sockets[0]
        self.address = self.sock.getsockname()
        self.waiting: deque[Connection] = deque()


class World:
    def __init__(self, kind: str, pause_s: float = 0.0) -> None:
        self.log = Log()
        self.loop: Any = factory_of(kind)()
        self.loop.set_exception_handler(self._reported)
        self.folder = tempfile.TemporaryDirectory(prefix="aioadapt-fuzz-")
        self.connections: list[Connection] = []
        self.listening: list[Listening] = []
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.endpoints: list[Any] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.verbs: dict[str, int] = {}
        self.peers_do: list[Callable[[], Any]] = []
        self.runs_elsewhere = False
        self.is_left = False
        self._pause_s = pause_s
        self._closing: list[Callable[[], Any]] = []

    # -- what a program does ---------------------------------------------------

    def do(self, act: Act, me: Connection | None = None) -> Any:
        """Carry out an act; *me* is the connection in whose callback that happens."""
        from .verbs import VERBS

        if self.is_left:
            return None
        try:
            result = VERBS[act.verb].do(self, me, *act.args)
        except Absent:
            return None
        self.verbs[act.verb] = self.verbs.get(act.verb, 0) + 1
        return result

    def take(self, number: int, step: Step) -> None:
        def acts() -> None:
            for act in step.acts:
                self.do(act)

        async def acting() -> None:
            acts()

        context = contextvars.copy_context()
        context.run(cause.set, f"step {number}")
        match step.where:
            case Where.OUTSIDE:
                self._guarded(lambda: context.run(acts))
            case Where.CALLBACK:
                self.loop.call_soon(acts, context=context)
            case Where.TIMER:
                self.loop.call_later(0, acts, context=context)
            case Where.THREADSAFE:
                self.loop.call_soon_threadsafe(acts, context=context)
            case Where.TASK:
                context.run(self.spawn, "acts", acting())
        if not step.is_hasty and not self.is_left:
            self.settle()

    def connection(self, number: int | None, me: Connection | None) -> Connection:
        if number is None:
            if me is None:
                raise Absent
            return me
        if not self.connections:
            raise Absent
        return self.connections[number % len(self.connections)]

    def add_connection(
        self, peer: Peer, reactions: tuple[tuple[str, Act], ...]
    ) -> Connection:
        connection = Connection(self, f"connection {len(self.connections)}", peer)
        for callback, act in reactions:
            connection.reactions.setdefault(callback, deque()).append(act)
        self.connections.append(connection)
        return connection

    def tried(self, name: str, what: str, call: Callable[[], Any]) -> Any:
        """Call it; what it raises is part of the trace."""
        try:
            return call()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.log.add(name, what, in_words(error))
            return None

    def spawn(
        self, name: str, coroutine: Coroutine[Any, Any, Any]
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self.loop.create_task(coroutine)

        def done(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                self.log.add("tasks", name, "cancelled")
            elif (error := task.exception()) is not None:
                self.log.add("tasks", name, in_words(error))
            elif task.result() is not None:
                self.log.add("tasks", name, task.result())

        task.add_done_callback(done)
        self.tasks.append(task)
        return task

    # -- running ---------------------------------------------------------------

    def as_peer(self, act: Callable[[], Any]) -> None:
        """Peers act between two iterations, never in the middle of a callback."""
        if self.loop.is_running():
            self.peers_do.append(act)
        else:
            act()

    def settle(self) -> None:
        quiet = 0
        for _ in range(MOST_ITERATIONS):
            before = self.log.count
            self.iterate()
            acts, self.peers_do = self.peers_do, []
            for act in acts:
                act()
            peers = [connection.peer for connection in self.connections]
            moved = [peer for peer in peers if peer.to_send and peer.send()]
            moved += [peer for peer in peers if peer.reads and peer.read()]
            quiet = 0 if moved or acts or self.log.count != before else quiet + 1
            if quiet == QUIET_ITERATIONS or self.log.count > MOST_EVENTS:
                break
        if quiet < QUIET_ITERATIONS:
            raise TooMuch
        for connection in self.connections:
            connection.note_state()

    def iterate(self) -> None:
        if self._pause_s:
            time.sleep(self._pause_s)
        if self.runs_elsewhere:
            thread = threading.Thread(target=self._iterate)
            thread.start()
            thread.join()
        else:
            self._iterate()

    def _iterate(self) -> None:
        def once() -> None:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

        self._guarded(once)

    def _guarded(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            self.log.add("loop", "escaped", in_words(error))

    def _reported(self, _loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # Which class the method belongs to, and its arguments, are the loop's business.
        message = re.sub(r"(callback )[\w.]*\b(\w+)\(.*", r"\1\2", context["message"])
        # The garbage collector reports these: before or after what ends the run.
        name = "collected" if message.startswith("Task ") else "loop"
        self.log.add(name, message, in_words(error))

    # -- the end ---------------------------------------------------------------

    def finish(self) -> None:
        """End what is open, as a tidy program would; unless the loop is closed already."""
        if not self.is_left:
            for connection in self.connections:
                if connection.transport is not None:
                    self._guarded(connection.transport.abort)
            for place in self.listening:
                self._guarded(place.server.close)
            for endpoint in self.endpoints:
                self._guarded(endpoint.abort)
            for task in self.tasks:
                task.cancel()
            self.runs_elsewhere = False
            self.settle()
            self.loop.close()
        for connection in self.connections:
            connection.transport = connection.protocol = None
            connection.reactions.clear()
        self.listening.clear()
        self.endpoints.clear()
        self.tasks.clear()
        self._closing.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        for connection in self.connections:
            connection.peer.read()
            self.log.add(
                connection.name, "in the end the peer has", connection.peer.roughly()
            )

    def leave(self) -> None:
        """Close the loop with everything on it."""
        self.is_left = True
        self.loop.close()

    def close(self) -> None:
        if not self.loop.is_closed():
            self.loop.close()
        for connection in self.connections:
            connection.peer.sock.close()
        for pair in self.pairs:
            for sock in pair:
                sock.close()
        self.folder.cleanup()

    def path(self) -> str:
        return str(Path(self.folder.name, f"socket{len(self.listening)}"))


def small_socket(family: int) -> socket.socket:
    # asyncio looks at the protocol number before it switches Nagle's algorithm off.
    protocol = socket.IPPROTO_TCP if family == socket.AF_INET else 0
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    keep_small(sock)
    return sock


def keep_small(sock: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)


def reset(sock: socket.socket) -> None:
    """Close so that the other end gets a reset instead of an end of file."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def played(program: Program, kind: str, pause_s: float = 0.0) -> Traces:
    return played_in_a_world(program, kind, pause_s).log.traces


def played_in_a_world(program: Program, kind: str, pause_s: float = 0.0) -> World:
    world = World(kind, pause_s)
    try:
        try:
            for number, step in enumerate(program):
                if world.is_left:
                    break
                world.take(number, step)
            if not world.is_left:
                world.settle()
        except TooMuch:
            world.log.traces.setdefault("loop", []).append(("never comes to rest",))
        world.log.count = 0
        try:
            world.finish()
        except TooMuch:
            pass
    finally:
        world.close()
    return world
