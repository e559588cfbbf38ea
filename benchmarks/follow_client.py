"""A crowd of keep-alive connections, each with one request in the air at most.

It runs in a process of its own, ``python -m benchmarks.follow_client``: plain
sockets over epoll.  Each answer is compared byte for byte with the one that
belongs to this connection and this request.

It prints a JSON object per line: ``ready`` once every connection has had its
first answer, then ten times a second how things stand.  A line on its standard
input is a new mean think time in seconds; it ends when its standard input does.
"""

import argparse
import heapq
import json
import os
import random
import resource
import select
import socket
import sys
import time

REPORT_EVERY_S = 0.1
CONNECTING_AT_ONCE = 200
PATIENCE_S = 10.0  # who waits for an answer longer than this waits for ever


class Caller:
    """One connection: its sequence number, and what it must hear next."""

    __slots__ = (
        "asked_at_s",
        "expected",
        "heard",
        "in_air",
        "number",
        "sequence",
        "sock",
    )

    def __init__(self, number: int, address: tuple[str, int]) -> None:
        self.number = number
        self.sequence = 0
        self.in_air = False
        self.asked_at_s = 0.0
        self.heard = b""
        self.expected: tuple[bytes, ...] = ()
        self.sock = socket.create_connection(address, timeout=PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)

    def ask(self, now_s: float, engines: list[bytes]) -> None:
        self.sequence += 1
        name = b"%d" % self.number, b"%d" % self.sequence
        self.expected = tuple(answer(engine, *name) for engine in engines)
        self.in_air = True
        self.asked_at_s = now_s
        self.sock.send(b"GET /%b/%b HTTP/1.1\r\nhost: h\r\n\r\n" % name)


def answer(engine: bytes, connection: bytes, sequence: bytes) -> bytes:
    """What ``demo.app.EchoApp`` says to a request without a body."""
    return (
        b"HTTP/1.1 200 OK\r\nx-engine: %b\r\nx-connection: %b\r\nx-sequence: %b\r\n"
        b"content-length: 0\r\n\r\n" % (engine, connection, sequence)
    )


class Crowd:
    def __init__(self, engines: list[str], think_s: float) -> None:
        self.engines = [engine.encode() for engine in engines]
        self.think_s = think_s
        self.answers = 0
        self.wrong = 0  # an answer that is not the one asked for: doubled, mixed up
        self.lost = 0  # a connection that ended
        self.silent = 0  # no answer within PATIENCE_S
        self.faults: list[str] = []
        self.slowest_s = 0.0  # since the last report
        self.callers: dict[int, Caller] = {}
        self.thinking: list[tuple[float, int, Caller]] = []
        self.unheard = 0
        self.epoll = select.epoll()
        self.now_s = time.monotonic()

    def connect(self, address: tuple[str, int], count: int) -> None:
        for number in range(count):
            caller = Caller(number, address)
            self.callers[caller.sock.fileno()] = caller
            self.epoll.register(caller.sock, select.EPOLLIN)
            self.unheard += 1
            caller.ask(time.monotonic(), self.engines)
            if number % CONNECTING_AT_ONCE == CONNECTING_AT_ONCE - 1:
                self.run_iterations(0.0)

    def run_iterations(self, timeout_s: float) -> bool:
        """False once the standard input has ended."""
        goes_on = True
        for fd, _ in self.epoll.poll(timeout_s):
            caller = self.callers.get(fd)
            if caller is not None:
                self.now_s = time.monotonic()
                self.hear(caller)
            elif fd == 0:
                line = os.read(0, 64)
                goes_on = bool(line)
                if line:
                    self.think_s = float(line.split()[-1])
        self.now_s = time.monotonic()
        while self.thinking and self.thinking[0][0] <= self.now_s:
            self.ask(heapq.heappop(self.thinking)[2])
        return goes_on

    def hear(self, caller: Caller) -> None:
        try:
            data = caller.sock.recv(65536)
        except OSError as error:
            self.end(caller, f"{error}")
            return
        if not data:
            self.end(caller, "closed by the server")
            return
        caller.heard += data
        if not caller.in_air or not any(
            e.startswith(caller.heard) for e in caller.expected
        ):
            self.wrong += 1
            self.note(caller, f"heard {caller.heard[:200]!r}")
            self.forget(caller)
            return
        if caller.heard not in caller.expected:
            return  # the rest of it is still to come
        caller.heard = b""
        caller.in_air = False
        self.answers += 1
        self.slowest_s = max(self.slowest_s, self.now_s - caller.asked_at_s)
        if caller.sequence == 1:
            self.unheard -= 1
        if self.think_s:
            due_s = self.now_s + random.uniform(0.5, 1.5) * self.think_s
            heapq.heappush(self.thinking, (due_s, caller.number, caller))
        else:
            self.ask(caller)

    def ask(self, caller: Caller) -> None:
        if caller.sock.fileno() < 0:
            return
        try:
            caller.ask(self.now_s, self.engines)
        except OSError as error:
            self.end(caller, f"{error}")

    def end(self, caller: Caller, why: str) -> None:
        self.lost += 1
        self.note(caller, why)
        self.forget(caller)

    def note(self, caller: Caller, why: str) -> None:
        if len(self.faults) < 10:
            self.faults.append(
                f"connection {caller.number}, request {caller.sequence}: {why}"
            )

    def forget(self, caller: Caller) -> None:
        del self.callers[caller.sock.fileno()]
        caller.sock.close()

    def look_for_the_silent(self) -> None:
        for caller in list(self.callers.values()):
            if caller.in_air and self.now_s - caller.asked_at_s > PATIENCE_S:
                self.silent += 1
                self.note(caller, f"no answer within {PATIENCE_S} s")
                self.forget(caller)

    def report(self, **more: object) -> None:
        standing = {
            "answers": self.answers,
            "wrong": self.wrong,
            "lost": self.lost,
            "silent": self.silent,
            "slowest_s": self.slowest_s,
            "faults": self.faults,
        }
        self.slowest_s = 0.0
        print(json.dumps(standing | more), flush=True)

    def run(self) -> None:
        self.epoll.register(0, select.EPOLLIN)
        report_at_s = self.now_s
        ready = False
        while self.run_iterations(self.timeout_s(report_at_s)):
            if self.now_s >= report_at_s:
                report_at_s = self.now_s + REPORT_EVERY_S
                ready = ready or not self.unheard
                self.report(ready=ready)
                self.look_for_the_silent()

    def settle(self) -> None:
        """No more requests; what is in the air must still be answered."""
        self.think_s = 2 * PATIENCE_S
        self.thinking.clear()
        end_s = self.now_s + PATIENCE_S + 1
        self.epoll.unregister(0)
        while any(c.in_air for c in self.callers.values()) and self.now_s < end_s:
            self.run_iterations(0.05)
            self.look_for_the_silent()
        self.report(ready=True, settled=True)

    def timeout_s(self, report_at_s: float) -> float:
        due_s = report_at_s
        if self.thinking:
            due_s = min(due_s, self.thinking[0][0])
        return max(0.0, due_s - self.now_s)


def allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.follow_client")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("--engines", default="epoll,uring")
    parser.add_argument("--think-s", type=float, default=0.0)
    asked = parser.parse_args()
    allow_descriptors(asked.connections + 64)
    crowd = Crowd(asked.engines.split(","), asked.think_s)
    try:
        crowd.connect((asked.host, asked.port), asked.connections)
        crowd.run()
        crowd.settle()
    except BrokenPipeError:
        sys.exit(1)  # whoever asked has gone


if __name__ == "__main__":
    main()
