"""A crowd of keep-alive connections that compares every byte of every answer.

It runs in a process of its own, ``python -m demo.client``, so
that it shares neither interpreter nor loop with what it tests, and it is
plain sockets over epoll so that it shares no code with it either.

It prints one JSON object per line: how things stand, several times a second,
and at the end what came of it.  A number on a line of its standard input is
how many connections there shall be from now on; those above leave after one
more batch, the others stay.  It ends when its standard input does.
"""

import argparse
import heapq
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .connection import Connection, Leave, State, choose_leave
from .judge import Faults
from .limits import allow_descriptors
from .wire import batches, opening

# A connection's whole stay is a second or so of a busy server: guesses.
VISITS_AT_LEAST, VISITS_AT_MOST = 10, 150
CONNECTING_AT_MOST = 256  # well below any backlog
RETRY_S = 0.1
REPORT_EVERY_S = 0.25
PATIENCE_S = 10.0  # far above any pause: who waits longer waits for ever


class Crowd:
    def __init__(
        self,
        address: tuple[str, int],
        *,
        connections: int,
        engines: list[str],
        think_s: float = 0.0,
        visitors: int | None = None,
        requests: int = 0,
        seed: int | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """*visitors* of the *connections* come and go: an eighth unless told otherwise.

        *requests*, if not 0: stop when so many have been answered.
        """
        self.address = address
        self.family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.rng = random.Random(seed)
        self.batches = batches(self.rng)
        self.openings = {opening(engine): engine for engine in engines}
        self.think_s = think_s
        self.connections = connections
        self.requests = requests
        self.patience_s = patience_s
        self.now = time.monotonic()
        self.epoll = select.epoll()
        self.stopping = False
        self.answers = dict.fromkeys(engines, 0)
        self.changes: Counter[str] = (
            Counter()
        )  # "epoll>uring": seen between two answers
        self.faults = Faults()
        self.slowest_s = 0.0
        self.opened = 0
        self.best: Connection | None = None  # the one most often moved
        self._numbers = 0
        self._table: dict[int, Connection] = {}  # by descriptor; owns the connections
        self._connecting = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._to_open = self._newcomers(connections, visitors)
        self._half_command = b""

    # What connections call.

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (self.now + delay_s, self._timer_count, callback))

    def connected(self, connection: Connection) -> None:
        self._connecting -= 1
        self.opened += 1

    def gone(self, connection: Connection, failed_to_connect: bool) -> None:
        descriptor = connection.sock.fileno()
        self.epoll.unregister(descriptor)
        del self._table[descriptor]
        self._remember(connection)
        if failed_to_connect:
            self._connecting -= 1
        if not connection.replaced:
            return
        visits = connection.leave is not Leave.STAYS
        if failed_to_connect:
            self.later(RETRY_S, lambda: self._to_open.append(visits))
        else:
            self._to_open.append(visits)

    # Its loop.

    def run(
        self, commands: int | None = None, report: Callable[[], None] = lambda: None
    ) -> None:
        """Talk until *commands*, a pipe, comes to its end, or until :meth:`stop`."""
        if commands is not None:
            self.epoll.register(commands, select.EPOLLIN)
        next_report = self.now + REPORT_EVERY_S
        while self._table or not self.stopping:
            self._open_some()
            for descriptor, events in self.epoll.poll(self._timeout_s(next_report)):
                connection = self._table.get(descriptor)
                if connection is None:
                    if descriptor == commands and not self._obey(descriptor):
                        self.epoll.unregister(descriptor)
                        self.stop()
                elif events & select.EPOLLOUT:
                    connection.writable()
                else:
                    connection.readable()
            self.now = time.monotonic()
            while self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()
            if self.requests and sum(self.answers.values()) >= self.requests:
                self.stop()
            if self.now >= next_report:
                next_report = self.now + REPORT_EVERY_S
                self._give_up_on_the_silent()
                report()
        self.epoll.close()

    def stop(self) -> None:
        """No new requests; what is in the air is still waited for."""
        if self.stopping:
            return
        self.stopping = True
        self._to_open.clear()
        for connection in list(self._table.values()):
            if connection.state is State.CONNECTING:
                connection.state = State.LEAVING
                connection.ended("")
            elif connection.state is State.TALKING and not connection.in_air:
                connection.start()

    def resize(self, connections: int) -> None:
        """Have as many from now on; of those that are open, the oldest stay."""
        if self.stopping:
            return
        more = connections - self.connections
        self.connections = connections
        if more > 0:
            self._to_open += self._newcomers(more, None)
            return
        unopened = min(-more, len(self._to_open))
        del self._to_open[len(self._to_open) - unopened :]
        staying = [x for x in self._table.values() if x.replaced]
        for connection in staying[connections:]:
            connection.leave_soon()

    @staticmethod
    def _newcomers(count: int, visitors: int | None) -> list[bool]:
        """True for each that visits, rather than stays."""
        visitors = count // 8 if visitors is None else visitors
        return [True] * visitors + [False] * (count - visitors)

    def _obey(self, commands: int) -> bool:
        """Do what was written there; False at its end."""
        said = os.read(commands, 4096)
        *lines, self._half_command = (self._half_command + said).split(b"\n")
        for line in lines:
            self.resize(int(line))
        return bool(said)

    def _timeout_s(self, next_report: float) -> float:
        due = self._timers[0][0] if self._timers else next_report
        return max(0.0, min(due, next_report) - self.now)

    def _open_some(self) -> None:
        while (
            self._to_open
            and self._connecting < CONNECTING_AT_MOST
            and not self.stopping
        ):
            leave = choose_leave(self.rng) if self._to_open.pop() else Leave.STAYS
            visits = self.rng.randint(VISITS_AT_LEAST, VISITS_AT_MOST)
            self._numbers += 1
            connection = Connection(self, self._numbers, leave, visits)
            self._table[connection.sock.fileno()] = connection
            self._connecting += 1
            self.epoll.register(connection.sock.fileno(), select.EPOLLOUT)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.connect_ex(self.address)  # epoll tells how it went

    def _give_up_on_the_silent(self) -> None:
        for connection in list(self._table.values()):
            if connection.waits_too_long(self.now, self.patience_s):
                if connection.state is State.LEAVING:
                    connection.state = (
                        State.TALKING
                    )  # not as agreed: the server did not close
                connection.ended(f"nothing came for {self.patience_s:g} s")

    # What it knows.

    def _remember(self, connection: Connection) -> None:
        if self.best is None or len(connection.runs) > len(self.best.runs):
            self.best = connection

    def standing(self) -> dict[str, Any]:
        return {
            "connected": len(self._table) - self._connecting,
            "opened": self.opened,
            "requests": sum(self.answers.values()),
            "requests_by_engine": self.answers,
            **self.faults.as_counts(),
        }

    def outcome(self) -> dict[str, Any]:
        best = self.best
        return {
            **self.standing(),
            "changes": dict(self.changes),
            "slowest_ms": round(self.slowest_s * 1e3, 1),
            "fault_examples": self.faults.examples,
            "proof": {
                "connection": best.number,
                "answers": best.sequence,
                "runs": best.runs,
            }
            if best
            else None,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.client")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument(
        "--engines", default="epoll,uring", help="names that answers may carry"
    )
    parser.add_argument("--think-ms", type=float, default=0.0)
    parser.add_argument("--requests", type=int, default=0, help="stop after so many")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    # A terminal's Ctrl-C goes to the whole group, but who started us stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allow_descriptors(options.connections + 64)
    crowd = Crowd(
        (options.host, options.port),
        connections=options.connections,
        engines=options.engines.split(","),
        think_s=options.think_ms / 1e3,
        requests=options.requests,
        seed=options.seed,
    )

    def say(kind: str, what: dict[str, Any]) -> None:
        print(json.dumps({"kind": kind, **what}), flush=True)

    begun, cpu_begun = time.monotonic(), time.process_time()
    crowd.run(sys.stdin.fileno(), lambda: say("standing", crowd.standing()))
    say(
        "outcome",
        {
            **crowd.outcome(),
            "seconds": time.monotonic() - begun,
            "cpu_seconds": time.process_time() - cpu_begun,
        },
    )


if __name__ == "__main__":
    main()
