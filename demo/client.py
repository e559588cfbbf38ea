"""Keep-alive connections that compare every byte of every response.

The client runs in a process of its own, ``python -m demo.client``, so that it
shares neither an interpreter nor a loop with what it tests.  It uses plain
sockets and epoll, so that it shares no code with it either.

It prints one JSON object per line: the current state at every report, and the
outcome at the end.  It reads commands from its standard input, also one JSON
object per line:

    {"connections": 16}     have this many from now on: when there are too many, the
                            newest send one more batch and leave
    {"think_s": 0.01}       the mean think time from now on

When its standard input ends, it waits for the responses in flight and exits.
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
from .wire import PLAIN_GET, batches, opening

# How many batches a visitor sends before it leaves: about a second with a busy
# server.  Guesses.
VISIT_LEAST, VISIT_MOST = 10, 150
CONNECTING_AT_MOST = 256  # well below any backlog
RETRY_S = 0.1
REPORT_EVERY_S = 0.25
PATIENCE_S = 10.0  # far above any pause: a response that takes longer never comes


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
        gets: bool = False,
        seed: int | None = None,
        patience_s: float = PATIENCE_S,
        report_every_s: float = REPORT_EVERY_S,
    ) -> None:
        """The parameters of a load.

        Args:
            engines: the names that responses may carry.
            think_s: mean think time between a response and the next request.
            visitors: how many of the *connections* come and go, by default an
                eighth.  With 0, none of those that are added later do either.
            requests: stop after this many responses; 0 for never.
            gets: send GET requests only, one at a time.
            patience_s: a request that has no response after this time is lost.
        """
        self.address = address
        self.family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.rng = random.Random(seed)
        self.batches = [PLAIN_GET] if gets else batches(self.rng)
        self.openings = {opening(engine): engine for engine in engines}
        self.think_s = think_s
        self.connections = connections
        self.requests = requests
        self.patience_s = patience_s
        self.report_every_s = report_every_s
        self.now = time.monotonic()
        self.epoll = select.epoll()
        self.stopping = False
        self.answers = dict.fromkeys(engines, 0)
        # "epoll>uring": how often two consecutive responses came from these two.
        self.changes: Counter[str] = Counter()
        self.faults = Faults()
        self.slowest_s = 0.0
        self.slowest_since_report_s = 0.0
        self.opened = 0
        self.answered = 0  # connections that have had a response
        self.best: Connection | None = None  # the one that was moved most often
        self._visited = visitors != 0
        self._numbers = 0
        self._table: dict[int, Connection] = {}  # by descriptor; owns the connections
        self._connecting = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._to_open = self._newcomers(connections, visitors)
        self._half_command = b""

    # Called by connections.

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (self.now + delay_s, self._timer_count, callback))

    def connected(self, connection: Connection) -> None:
        self._connecting -= 1
        self.opened += 1

    def batch_took(self, seconds: float) -> None:
        self.slowest_s = max(self.slowest_s, seconds)
        self.slowest_since_report_s = max(self.slowest_since_report_s, seconds)

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

    # The event loop.

    def run(
        self, commands: int | None = None, report: Callable[[], None] = lambda: None
    ) -> None:
        """Run until *commands*, a pipe, ends, or until :meth:`stop`."""
        if commands is not None:
            self.epoll.register(commands, select.EPOLLIN)
        next_report = self.now + self.report_every_s
        while self._table or not self.stopping:
            self._open_some()
            for descriptor, events in self.epoll.poll(self._timeout_s(next_report)):
                self.now = time.monotonic()
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
                next_report = self.now + self.report_every_s
                self._give_up_on_the_silent()
                report()
                self.slowest_since_report_s = 0.0
        self.epoll.close()

    def stop(self) -> None:
        """Send no more requests, but wait for the responses in flight."""
        if self.stopping:
            return
        self.stopping = True
        self._to_open.clear()
        for connection in list(self._table.values()):
            if connection.state is State.CONNECTING:
                connection.state = State.LEAVING
                connection.ended("")
            elif connection.state is State.TALKING and not connection.in_flight:
                connection.start()

    def resize(self, connections: int) -> None:
        """Have this many from now on; of the open ones, the oldest stay."""
        if self.stopping:
            return
        more = connections - self.connections
        self.connections = connections
        if more > 0:
            self._to_open += self._newcomers(more, None if self._visited else 0)
            return
        unopened = min(-more, len(self._to_open))
        del self._to_open[len(self._to_open) - unopened :]
        staying = [x for x in self._table.values() if x.replaced]
        for connection in staying[connections:]:
            connection.leave_soon()

    @staticmethod
    def _newcomers(count: int, visitors: int | None) -> list[bool]:
        """True for each one that visits, False for each one that stays."""
        visitors = count // 8 if visitors is None else visitors
        return [True] * visitors + [False] * (count - visitors)

    def _obey(self, commands: int) -> bool:
        """Carry out the commands that have arrived; False at the end of the pipe."""
        said = os.read(commands, 4096)
        *lines, self._half_command = (self._half_command + said).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if "connections" in command:
                self.resize(command["connections"])
            self.think_s = command.get("think_s", self.think_s)
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
            visit = self.rng.randint(VISIT_LEAST, VISIT_MOST)
            self._numbers += 1
            connection = Connection(self, self._numbers, leave, visit)
            self._table[connection.sock.fileno()] = connection
            self._connecting += 1
            self.epoll.register(connection.sock.fileno(), select.EPOLLOUT)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.connect_ex(self.address)  # epoll reports the result

    def _give_up_on_the_silent(self) -> None:
        for connection in list(self._table.values()):
            if connection.waits_too_long(self.now, self.patience_s):
                if connection.state is State.LEAVING:
                    # A fault: the server should have closed it.
                    connection.state = State.TALKING
                connection.ended(f"nothing arrived for {self.patience_s:g} s")

    # What it reports.

    def _remember(self, connection: Connection) -> None:
        if self.best is None or len(connection.runs) > len(self.best.runs):
            self.best = connection

    def standing(self) -> dict[str, Any]:
        return {
            "connected": len(self._table) - self._connecting,
            "opened": self.opened,
            "answered": self.answered,
            "requests": sum(self.answers.values()),
            "requests_by_engine": self.answers,
            "slowest_since_report_s": self.slowest_since_report_s,
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
        "--engines", default="epoll,uring", help="the names that responses may carry"
    )
    parser.add_argument("--think-ms", type=float, default=0.0, help="mean think time")
    parser.add_argument("--requests", type=int, default=0, help="stop after this many")
    parser.add_argument(
        "--visitors", type=int, help="connections that come and go  [an eighth]"
    )
    parser.add_argument(
        "--gets", action="store_true", help="send GET requests only, one at a time"
    )
    parser.add_argument("--report-every-s", type=float, default=REPORT_EVERY_S)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    # A terminal sends Ctrl-C to the whole process group, but our parent stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allow_descriptors(options.connections + 64)
    crowd = Crowd(
        (options.host, options.port),
        connections=options.connections,
        engines=options.engines.split(","),
        think_s=options.think_ms / 1e3,
        visitors=options.visitors,
        requests=options.requests,
        gets=options.gets,
        seed=options.seed,
        report_every_s=options.report_every_s,
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
