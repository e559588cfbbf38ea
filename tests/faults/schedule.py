"""One schedule: a program of the fuzzer, played on a loop whose calls fail as planned."""

import asyncio
import errno
import gc
import logging
import os
import random
import warnings
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzz.actors import Actor, Connection, Listening
from fuzz.isolated import Died, isolated
from fuzz.log import MOST_EVENTS, Log
from fuzz.program import Act, Program, program_of
from fuzz.world import Absent, TooMuch, World
from leftovers import CLOSED_FIRST

from aioadapt._stream import listener
from aioadapt._testing.inside import found_inside

from .boundary import Boundary, Struck
from .moving import plan_of_moves, play_moves
from .outcome import Outcome, descriptors, may_end_one
from .plan import CAN, LATE, Plan, Strike, plan_of

WITHIN_S = 30.0
MOVES_WITHIN_S = 60.0
ALIVE_WITHIN_S = 5.0
ENDING_AT_MOST = 5


@dataclass(frozen=True)
class Schedule:
    seed: int
    kind: str
    program: Program
    plan: Plan
    ending: Plan
    """What happens while the loop closes."""


def schedule_of(seed: int, kind: str) -> Schedule:
    if kind == "moves":
        setup, plan = plan_of_moves(seed)
        return Schedule(seed, kind, (), setup + plan, ())
    dice = random.Random(f"ending {seed} {kind}")
    ending: Plan = ()
    if kind != "epoll":
        ending = tuple(
            Strike("ring cancel", dice.randint(0, 3), dice.choice(CAN["ring cancel"]))
            if dice.random() < 0.5
            else Strike("ring reap", dice.randint(0, 3), LATE, 1000)
            for _ in range(2)
        )
    # asyncio's TLS lies between the two, and fails in ways of its own.
    program = tuple(step for step in program_of(seed) if "tls" not in str(step))
    return Schedule(seed, kind, program, plan_of(seed, kind), ending)


def played(schedule: Schedule) -> Outcome:
    """What was found; in a child process, which may crash."""
    try:
        if schedule.kind == "moves":
            return isolated(lambda: play_moves(schedule.seed), MOVES_WITHIN_S)
        return isolated(lambda: _played(schedule), WITHIN_S)
    except Died as died:
        return Outcome(problems=[str(died)])


def _played(schedule: Schedule) -> Outcome:
    outcome = Outcome()
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    before = descriptors()
    boundary = Boundary()
    world = StruckWorld(schedule.kind, boundary)
    boundary.arm(schedule.plan)
    try:
        for number, step in enumerate(schedule.program):
            if world.is_left:
                break
            world.take(number, step)
        if not world.is_left:
            world.settle()
    except TooMuch:
        outcome.problems.append("never comes to rest")
    world.log.count = 0
    if not world.is_left:
        outcome.problems += world.end(schedule.ending)
    else:
        world.look_at_boundary()
    outcome.problems += world.problems()
    steps = " ".join(map(str, schedule.program))
    if "renew(" in steps:  # it closes what is watched
        outcome.problems = [it for it in outcome.problems if CLOSED_FIRST not in it]
    # In these a protocol looks for its bytes in another buffer, on asyncio too: its own,
    # or that of a StreamReader before it.
    mixes_buffers = "give(" in steps or "'get_buffer'" in steps
    mixes_buffers |= "open_streams(" in steps and "set_protocol(" in steps
    if not mixes_buffers and world.got_other_bytes():
        outcome.problems.append("a protocol got other bytes than the peer had sent")
    outcome.made.update(world.made)
    outcome.struck += world.struck
    world.forget()
    world.close()
    del world
    gc.collect()
    gc.collect()  # of what finalizers of the first have let go
    if left := descriptors() - before:
        outcome.problems.append(f"{len(left)} descriptors are left: {sorted(left)}")
    return outcome


class StruckLog(Log):
    """Knows the inode of each connection's socket."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.inodes: dict[str, int] = {}

    def called(self, name: str, callback: str, *details: Any) -> None:
        if callback == "connection_made":
            for connection in self._world.all(Connection):
                if connection.name == name:
                    sock = connection.transport.get_extra_info("socket")
                    self.inodes[name] = os.fstat(sock.fileno()).st_ino
        super().called(name, callback, *details)


class Waiting(deque[Connection]):
    """Who has connected to a server; those that the accept aborted are left out."""

    def __init__(self, server: asyncio.Server, boundary: Boundary) -> None:
        super().__init__()
        self._boundary = boundary
        self._inode = os.fstat(server.sockets[0].fileno()).st_ino
        self._taken = 0

    def popleft(self) -> Connection:
        while self._boundary.was_aborted(self._inode, self._taken):
            self._taken += 1
            super().popleft()
        self._taken += 1
        return super().popleft()


class Places(list[Listening]):
    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self._boundary = boundary

    def append(self, place: Listening) -> None:
        place.waiting = Waiting(place.server, self._boundary)
        super().append(place)


class StruckWorld(World):
    def __init__(self, kind: str, boundary: Boundary) -> None:
        super().__init__(kind)
        self.boundary = boundary
        self.struck: list[Struck] = []
        self.made: dict[str, int] = {}
        self._writing: list[str] = []
        self._blurred: set[str] = set()
        """Connections of which nobody knows what was written: not even the program."""
        self._struck_log = StruckLog(self)
        self.log = self._struck_log
        # After a failed accept it goes on with the next iteration.
        listener.ACCEPT_RETRY_DELAY_S = 0  # type: ignore[attr-defined]
        self.listening = Places(boundary)

    def new_loop(self) -> Any:
        try:
            return super().new_loop()
        except OSError:
            raise Absent from None  # there is none then, as the program is told

    def do(self, act: Act, me: Actor | None = None) -> Any:
        # After a start_tls that failed, records are read as what was written.
        if act.verb in ("sendfile", "start_tls"):
            try:
                self._blurred.add(self.pick(Connection, act.args[0], me).name)
            except Absent:
                pass
        return super().do(act, me)

    def tried(self, name: str, what: str, call: Callable[[], Any]) -> Any:
        if what not in ("write", "writelines"):
            return super().tried(name, what, call)
        if name in self._writing:  # from a callback that the outer write has called
            self._blurred.add(name)
        self._writing.append(name)
        try:
            return super().tried(name, what, call)
        except (SystemExit, KeyboardInterrupt):
            self._blurred.add(name)
            raise
        finally:
            self._writing.pop()

    def end(self, ending: Plan) -> list[str]:
        """End everything as a tidy program would; say what is wrong then."""
        found: list[str] = []
        self.runs_elsewhere = False
        # The callbacks that this leads to may open others.
        for _ in range(ENDING_AT_MOST):
            for actor in self.actors:
                self._guarded(actor.end)
            for place in self.listening:
                for server in place.servers:
                    self._guarded(server.close)
            for task in self.tasks:
                task.cancel()
            before = len(self.actors)
            try:
                self.settle()
            except TooMuch:
                found.append("does not come to rest at its end")
            if len(self.actors) == before:
                break
        self.look_at_boundary()
        found += self._serves_others()
        stats = self.loop.stats()
        self.made["completion queue overflows"] = stats.cq_overflows
        if stats.in_kernel:
            found.append(f"{stats.in_kernel} operations are still in the kernel")
        self.boundary.arm(ending)
        for loop in self.loops:
            found += found_inside(loop)
            loop.close()
        self.boundary.disarm()
        return found

    def _serves_others(self) -> list[str]:
        async def ask() -> None:
            async def answer(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter
            ) -> None:
                writer.write(await reader.read())
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(
                    *server.sockets[0].getsockname()
                )
                writer.write(b"question")
                writer.write_eof()
                assert await reader.read() == b"question"
                writer.close()
                await writer.wait_closed()

        try:
            self.loop.run_until_complete(asyncio.wait_for(ask(), ALIVE_WITHIN_S))
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            return [f"afterwards the loop serves nobody: {error!r}"]
        return []

    def look_at_boundary(self) -> None:
        """Nothing fails any more."""
        self.struck = self.boundary.struck()
        self.made = self.boundary.counts()
        self.boundary.disarm()

    def problems(self) -> list[str]:
        found = [
            f"left the loop: {event[1]}"
            for event in self.log.traces.get("loop", ())
            if event[0] == "escaped" and not _is_of_the_program(event[1])
        ]
        for connection in self.all(Connection):
            trace = self.log.traces.get(connection.name, [])
            if len(trace) >= MOST_EVENTS:
                continue
            names = Counter(str(event[0]) for event in trace)
            lost = names["connection_lost"]
            least = 1 if names["connection_made"] and not self.is_left else 0
            if not least <= lost <= 1:
                found.append(f"connection_lost was called {lost} times")
            ended_by = next((it[1] for it in trace if it[0] == "connection_lost"), "")
            hit = {it.inode for it in self.struck if may_end_one(it)}
            # Unknown of a stream that was given a protocol of ours later.
            inode = self._struck_log.inodes.get(connection.name)
            is_anothers = inode is not None and inode not in hit
            if ended_by in ("TimeoutError", "PermissionError") and is_anothers:
                found.append(f"ended by the {ended_by} of another")
            if connection.name in self._blurred:
                continue
            if connection.peer.is_corrupt:
                found.append("the peer got other bytes than were written")
            elif connection.peer.got > connection.written:
                found.append("the peer got more bytes than were written")
        return found

    def got_other_bytes(self) -> bool:
        return any(("corrupt",) in trace for trace in self.log.traces.values())

    def forget(self) -> None:
        for actor in self.actors:
            actor.forget()
        self.listening.clear()
        self.tasks.clear()


def _is_of_the_program(words: str) -> bool:
    # The name of a Unix socket whose server could not be made is used again.
    own = ("KeyboardInterrupt", "SystemExit", f"OSError: [Errno {errno.EADDRINUSE}]")
    return words.startswith(own)
