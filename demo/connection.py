"""One keep-alive connection of the verifying client.

A connection is a closed loop: it sends a batch (one request, or a few pipelined
ones), waits for the last response, perhaps thinks, and sends the next batch.  What
it waits for is kept as the exact bytes that it must receive.
"""

import random
import socket
from collections import deque
from enum import Enum
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING

from .judge import Fault, GarbledError, judge, read_answer
from .wire import OPENING_LEAST_BYTES, Batch, Shape, cuts, whole

if TYPE_CHECKING:
    from .client import Crowd

READ_BYTES = 32 * 1024
DRIBBLE_AT_MOST_S = 0.001
RUNS_AT_MOST = 16


class State(Enum):
    CONNECTING = "the TCP handshake is in progress"
    TALKING = "requests are in flight, or it thinks before the next ones"
    LEAVING = "every response is here, and the server should close the connection"
    CLOSED = "the descriptor is closed"


class Leave(Enum):
    STAYS = "never leaves by itself"
    CLOSES = "closes after the last response"
    SHUTS = "shuts down sending after the last response and waits for the server's EOF"
    ASKS = "sends connection: close with the last request"


class Connection:
    __slots__ = (
        "asked_at",
        "batches_left",
        "crowd",
        "engine",
        "in_flight",
        "leave",
        "number",
        "pieces",
        "place",
        "received",
        "replaced",
        "runs",
        "sequence",
        "sock",
        "spoiled",
        "state",
        "unsent",
    )

    def __init__(
        self, crowd: "Crowd", number: int, leave: Leave, batches_left: int
    ) -> None:
        self.crowd = crowd  # borrowed: it outlives its connections
        self.number = number
        self.leave = leave
        self.batches_left = batches_left  # ignored if it stays
        self.place = crowd.rng.randrange(len(crowd.batches))  # in the list of batches
        self.sequence = 0  # of the next request
        # Expected responses, oldest first, without their openings.
        self.in_flight: deque[bytes] = deque()
        self.received = b""  # the beginning of a response
        self.unsent = b""  # what the socket did not take
        self.pieces: list[bytes] = []  # of a dribbled request, the next one last
        self.engine = ""  # the one that the last response came from
        # Runs of responses from one engine: (engine, sequence of the first).
        self.runs: list[tuple[str, int]] = []
        self.replaced = True  # another one is opened when it has left
        self.spoiled = False  # a fault has been counted: its end is not another one
        self.asked_at = crowd.now
        self.state = State.CONNECTING
        # Owned until CLOSED.
        self.sock = socket.socket(crowd.family, socket.SOCK_STREAM)
        self.sock.setblocking(False)

    # Called when epoll reports the socket.

    def writable(self) -> None:
        if self.state is State.CONNECTING:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.ended(f"cannot connect: errno {error}")
                return
            self.state = State.TALKING
            self.crowd.connected(self)
            self.crowd.epoll.modify(self.sock.fileno(), EPOLLIN)
            self.start()
            return
        unsent, self.unsent = self.unsent, b""
        self.send(unsent)
        if not self.unsent and self.state is not State.CLOSED:
            self.crowd.epoll.modify(self.sock.fileno(), EPOLLIN)

    def readable(self) -> None:
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.ended(f"cannot read: {error}")
            return
        if not data:
            self.ended("the server closed the connection")
            return
        if self.received:
            data = self.received + data
            self.received = b""
        crowd = self.crowd
        in_flight = self.in_flight
        start = 0
        while start < len(data):
            line_end = data.find(b"\n", start + OPENING_LEAST_BYTES) + 1
            engine = crowd.openings.get(data[start:line_end])
            if (
                engine is not None
                and in_flight
                and data.startswith(in_flight[0], line_end)
            ):
                start = line_end + len(in_flight.popleft())
                crowd.answers[engine] += 1
                if engine is not self.engine:
                    self._changed_to(engine)
                continue
            size = self._other_than_expected(data[start:])
            if self.state is State.CLOSED:
                return
            if not size:
                self.received = data[start:]
                break
            start += size
        if not in_flight and self.state is State.TALKING:
            crowd.batch_took(crowd.now - self.asked_at)
            self._batch_is_answered()

    def _changed_to(self, engine: str) -> None:
        if self.engine:
            self.crowd.changes[f"{self.engine}>{engine}"] += 1
        else:
            self.crowd.answered += 1
        self.engine = engine
        if len(self.runs) < RUNS_AT_MOST:
            self.runs.append((engine, self.sequence - len(self.in_flight) - 1))

    def _other_than_expected(self, data: bytes) -> int:
        """How many bytes of *data* have been handled; 0 if more must arrive first."""
        if self.in_flight and any(
            (opening + self.in_flight[0]).startswith(data)
            for opening in self.crowd.openings
        ):
            return 0  # correct so far
        first = self.sequence - len(self.in_flight)
        try:
            answer = read_answer(data)
        except GarbledError as error:
            self.crowd.faults.add(
                Fault.FAILED if self.in_flight else Fault.DUPLICATED,
                f"connection {self.number}, request {first}: {error}",
            )
            if self.in_flight:
                self.in_flight.popleft()
            self.received = b""
            self.spoiled = True
            self.ended("its responses can no longer be parsed")
            return 0
        if answer is None:
            return 0
        verdict = judge(answer, self.number, range(first, self.sequence))
        for _ in range(verdict.answered):
            self.in_flight.popleft()
        self.spoiled = True
        self.crowd.faults.add(verdict.fault, verdict.why, verdict.lost or 1)
        return answer.size_bytes

    # Sending.

    def start(self) -> None:
        """Send the next batch, unless it has left while thinking."""
        crowd = self.crowd
        if self.state is not State.TALKING:
            return
        if crowd.stopping:
            self._finish()
            return
        batch = self._next_batch()
        parts = []
        for exchange in batch.exchanges:
            self.in_flight.append(exchange.answer(self.number, self.sequence))
            parts.append(exchange.request(self.number, self.sequence))
            self.sequence += 1
        self.asked_at = crowd.now
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if batch.shape is Shape.DRIBBLED:
            self.pieces = [data[cut] for cut in reversed(cuts(len(data), crowd.rng))]
            self._dribble()
        else:
            self.send(data)

    def _next_batch(self) -> Batch:
        if self.leave is not Leave.STAYS:
            self.batches_left -= 1
            if self.batches_left == 0 and self.leave is Leave.ASKS:
                return Batch(Shape.PLAIN, (whole(b"the last one", last=True),))
        self.place = (self.place + 1) % len(self.crowd.batches)
        return self.crowd.batches[self.place]

    def _dribble(self) -> None:
        if self.state is not State.TALKING or not self.pieces:
            return
        self.send(self.pieces.pop())
        if self.pieces:
            self.crowd.later(self.crowd.rng.random() * DRIBBLE_AT_MOST_S, self._dribble)

    def send(self, data: bytes) -> None:
        if self.unsent:
            self.unsent += data  # a piece of a dribbled request; the socket is full
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # reading will find what the server sent, and the end
        if sent < len(data):
            self.unsent = data[sent:]
            self.crowd.epoll.modify(self.sock.fileno(), EPOLLIN | EPOLLOUT)

    # Leaving.

    def leave_soon(self) -> None:
        """Send one more batch and leave; it is not replaced."""
        self.replaced = False
        if self.leave is Leave.STAYS:
            self.leave = choose_leave(self.crowd.rng)
            self.batches_left = 1
        else:
            self.batches_left = min(self.batches_left, 1)

    def _batch_is_answered(self) -> None:
        crowd = self.crowd
        if crowd.stopping or (self.leave is not Leave.STAYS and self.batches_left <= 0):
            self._finish()
        elif crowd.think_s:
            crowd.later(crowd.think_s * (0.5 + crowd.rng.random()), self.start)
        else:
            self.start()

    def _finish(self) -> None:
        self.asked_at = self.crowd.now
        if self.batches_left <= 0 and self.leave is Leave.SHUTS:
            self.state = State.LEAVING
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                self.ended(f"cannot shut down sending: {error}")
        elif self.batches_left <= 0 and self.leave is Leave.ASKS:
            self.state = State.LEAVING
        else:
            self.state = State.LEAVING
            self.ended("")

    def ended(self, why: str) -> None:
        """Close it, and count what is missing or surplus as faults."""
        faults = self.crowd.faults
        name = f"connection {self.number}"
        if self.in_flight:
            first = self.sequence - len(self.in_flight)
            faults.add(
                Fault.LOST,
                f"{name}, request {first} and later: {why}",
                len(self.in_flight),
            )
        elif self.state is not State.LEAVING and not self.spoiled:
            faults.add(Fault.FAILED, f"{name}, request {self.sequence}: {why}")
        elif self.received:
            faults.add(
                Fault.DUPLICATED, f"{name}: surplus bytes {self.received[:80]!r}"
            )
        failed_to_connect = self.state is State.CONNECTING
        self.state = State.CLOSED
        self.crowd.gone(self, failed_to_connect)
        self.sock.close()

    def waits_too_long(self, now: float, patience_s: float) -> bool:
        waiting = self.in_flight or self.state is not State.TALKING
        return bool(waiting) and now - self.asked_at > patience_s


def choose_leave(rng: random.Random) -> Leave:
    return rng.choice([Leave.CLOSES, Leave.SHUTS, Leave.ASKS])
