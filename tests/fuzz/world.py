"""The world of one program: a loop, what is on it, and the peers of that.

Peers act between two iterations of the loop, and its clock moves only when the program
says so.  So a program is the same in every run, and no step waits for a real clock.
"""

import asyncio
import contextvars
import gc
import re
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from loops import factory_of

from .actors import Actor, Connection, Listening
from .log import MOST_EVENTS, Log, Traces, cause, in_words
from .program import Act, Program, Step, Where

QUIET_ITERATIONS = 5
MOST_ITERATIONS = 3000

A = TypeVar("A", bound=Actor)


class TooMuch(Exception):
    """A program that does not come to rest."""


class Absent(Exception):
    """What a step is about does not exist (yet)."""


class World:
    def __init__(self, kind: str, pause_s: float = 0.0) -> None:
        self.kind = kind
        self.log = Log()
        self.now_s = 1000.0
        self.loops: list[Any] = []
        self.loop = self.new_loop()
        self.folder = tempfile.TemporaryDirectory(prefix="aioadapt-fuzz-")
        self.actors: list[Actor] = []
        self.kept: list[socket.socket] = []
        self.listening: list[Listening] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.verbs: dict[str, int] = {}
        self.peers_do: list[Callable[[], Any]] = []
        self.runs_elsewhere = False
        self.is_left = False
        self._pause_s = pause_s

    def new_loop(self) -> Any:
        loop: Any = factory_of(self.kind)()
        loop.set_exception_handler(self._reported)
        loop.time = lambda: self.now_s
        self.loops.append(loop)
        return loop

    # -- what a program does ---------------------------------------------------

    def do(self, act: Act, me: Actor | None = None) -> Any:
        """Carry out an act; *me* is whose callback that happens in."""
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

    def all(self, kind: type[A]) -> list[A]:
        return [actor for actor in self.actors if isinstance(actor, kind)]

    def pick(self, kind: type[A], number: int | None, me: Actor | None) -> A:
        """The one of this number; None: the one in whose callback we are."""
        if number is None:
            if not isinstance(me, kind):
                raise Absent
            return me
        actors = self.all(kind)
        if not actors:
            raise Absent
        return actors[number % len(actors)]

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
        self,
        name: str,
        coroutine: Coroutine[Any, Any, Any],
        loop: Any = None,
        trace: str = "tasks",
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = (loop or self.loop).create_task(coroutine)

        def done(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                self.log.add(trace, name, "cancelled")
            elif (error := task.exception()) is not None:
                self.log.add(trace, name, in_words(error))
            elif task.result() is not None:
                self.log.add(trace, name, task.result())

        task.add_done_callback(done)
        self.tasks.append(task)
        return task

    # -- running ---------------------------------------------------------------

    def as_peer(self, act: Callable[[], Any]) -> None:
        """Peers act between two iterations, never in the middle of a callback."""
        if any(loop.is_running() for loop in self.loops):
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
            moved = [actor.name for actor in self.actors if actor.peer.move()]
            quiet = 0 if moved or acts or self.log.count != before else quiet + 1
            if quiet == QUIET_ITERATIONS or self.log.count > MOST_EVENTS:
                break
        if quiet < QUIET_ITERATIONS:
            raise TooMuch
        for actor in self.actors:
            actor.note_state()

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
        for loop in self.loops:

            def once(loop: Any = loop) -> None:
                loop.call_soon(loop.stop)
                loop.run_forever()

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
        if message.startswith("Task was destroyed"):
            return  # when the world has ended
        # The garbage collector reports it: before or after what ends the run.
        name = "collected" if message.startswith("Task exception") else "loop"
        self.log.add(name, message, in_words(error))

    # -- the end ---------------------------------------------------------------

    def finish(self) -> None:
        """End what is open, as a tidy program would; unless the loop is closed already."""
        if not self.is_left:
            for actor in self.actors:
                self._guarded(actor.end)
            for place in self.listening:
                for server in place.servers:
                    self._guarded(server.close)
            for task in self.tasks:
                task.cancel()
            self.runs_elsewhere = False
            self.settle()
            for loop in self.loops:
                loop.close()
        for actor in self.actors:
            actor.forget()
        self.listening.clear()
        self.tasks.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        for connection in self.all(Connection):
            connection.peer.read()
            self.log.add(
                connection.name, "in the end the peer has", connection.peer.roughly()
            )

    def leave(self) -> None:
        """Close the loop with everything on it."""
        self.is_left = True
        for loop in self.loops:
            loop.close()

    def close(self) -> None:
        for loop in self.loops:
            if not loop.is_closed():
                loop.close()
        for actor in self.actors:
            actor.close()
        for sock in self.kept:
            sock.close()
        self.folder.cleanup()

    def path(self) -> str:
        return str(Path(self.folder.name, f"socket{len(self.listening)}"))


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
