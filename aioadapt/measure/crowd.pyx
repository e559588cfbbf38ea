"""Many keep-alive connections that ask, compare every byte, and count.

This is the measuring instrument, so it must add nothing to what the server is
measured to use.  It runs in a process of its own, on a core of its own, and
never sleeps while it measures: a sleeping client has to be woken, and the
kernel charges the wake-up to the process that sent, which is the server.

Each connection has one request in flight.  A run begins and ends with nothing in
flight, so what the server has used in between is the cost of exactly the requests
that were counted.  Connections stay open from one run to the next, unless fewer are
wanted.

    closed --connect--> idle --ask--> in flight --the right response--> idle
       ^                 |                |
       '--- the server closes it, or it has made all its requests (churn)

Every fault of a request is counted: it failed, was lost, was answered twice, or got
the response to another request.  With a strict workload, the first fault ends the run
with an error that says what was seen.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.limits cimport LLONG_MAX as NEVER
from libc.stdlib cimport calloc, free, malloc

from aioadapt._kernel.linux cimport MSG_DONTWAIT, now_ns, recv
from aioadapt.measure.dice cimport roll, seeded
from aioadapt.measure.workload cimport (
    DUPLICATED,
    GARBLED,
    LOST,
    MISROUTED,
    RIGHT,
    UNFINISHED,
)

import os

from aioadapt.measure.usage import ExperimentError

cdef enum:
    INCOMING_BYTES = 262_144

cdef long long RETRY_NS = 100_000_000


cdef class Crowd(Sockets):
    """At most *most* connections to an IPv4 address, with or without a think time.

    Args:
        patience_s: a request that has no response after this time is lost.
        scan: look at every connection instead of asking epoll, see :mod:`.sockets`.
    """

    def __cinit__(
        self, str host, int port, Workload workload not None, *, int most,
        double patience_s=10.0, bint scan=False, unsigned long long seed=1,
    ):
        self.patience_ns = <long long> (patience_s * 1e9)
        self.dice = seeded(seed)
        self.workload = workload
        self.datagrams = workload.datagrams
        self.due = Due(most)
        self.latencies = Latencies()
        self.connections = <Connection *> calloc(max(most, 1), sizeof(Connection))
        self.incoming = <char *> malloc(INCOMING_BYTES)
        if self.connections == NULL or self.incoming == NULL:
            raise MemoryError
        workload.prepare(most)

    def __dealloc__(self):
        free(self.connections)
        free(self.incoming)

    def run(
        self, *, int connections, seconds=None, long long operations=0,
        double think_s=0.0, long long requests_per_connection=0, bint spin=True, **asked,
    ):
        """Send requests, then wait for the responses; returns what was counted.

        Args:
            connections: how many are open; more are opened and the last ones
                closed, as needed, before the clock starts.
            seconds: how long requests are sent.
            operations: instead of *seconds*: exactly this many requests are sent,
                spread evenly over the connections.
            think_s: mean think time of a connection, between a response and the
                next request; it varies between half and one and a half of this.
            requests_per_connection: after this many a connection is closed and
                a new one opened; 0 for never.
            spin: never sleep.
            asked: the workload's own parameters, see its ``for_run``.

        Raises:
            ExperimentError: a fault, if the workload is strict; a refused
                connection, if *operations* are counted.  The crowd is closed.
        """
        cdef int i
        cdef long long opened_ns, start_ns, end_ns
        cdef long long run_ns = 0 if seconds is None else <long long> (seconds * 1e9)
        self.check(connections, seconds, operations, spin)
        self.workload.for_run(**asked)
        self.think_ns = <long long> (think_s * 1e9)
        self.churn = requests_per_connection
        self.operations = operations
        self.asked = self.opened = self.closed = 0
        self.closed_by_server = self.refused = self.bytes_in = 0
        self.failed = self.lost = self.duplicated = self.misrouted = 0
        self.silent = 0
        with nogil:
            # Handle what has come since the last run: the server may have closed some.
            self.look(self.wanted, 0, True)
            self.wanted = self.unanswered = connections
            self.first_answers_ns = -1
            self.running = True
            opened_ns = now_ns()
            for i in range(self.most):
                if self.trouble:
                    break
                if i >= connections and self.sockets[i].fd >= 0:
                    self.shut(i)
                    self.closed += 1
                elif i < connections and self.sockets[i].fd < 0:
                    self.connect(i)
        for i in range(connections):
            self.connections[i].quota = (
                (operations + connections - 1 - i) // connections if operations else NEVER)
        with nogil:
            start_ns = self.now_ns = now_ns()
            self.latencies.begin(start_ns)
            end_ns = NEVER if operations else start_ns + run_ns
            self.work(end_ns, spin)
        if self.trouble:
            self.close()
            raise ExperimentError(self.in_words())
        done = [self.connections[i].done for i in range(connections)]
        return {
            "connections": connections,
            "asked": self.asked,
            "seconds": (self.now_ns - start_ns) / 1e9,
            "opened": self.opened,
            "closed": self.closed,
            "closed_by_server": self.closed_by_server,
            "refused": self.refused,
            "bytes_in": self.bytes_in,
            "failed": self.failed,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "misrouted": self.misrouted,
            # From the first connect until each had a right response; None: one had not.
            "first_answers_s": (
                None if self.first_answers_ns < 0
                else (self.first_answers_ns - opened_ns) / 1e9
            ),
            "least_per_connection": min(done, default=0),
            "most_per_connection": max(done, default=0),
            **self.latencies.figures(),
        }

    def check(self, int connections, seconds, long long operations, bint spin):
        """Raise if a run with these parameters is impossible."""
        if self.ended:
            raise ValueError("this crowd is closed")
        if not 0 <= connections <= self.most:
            raise ValueError(f"cannot use {connections} connections: made for {self.most}")
        if operations < 0 or (seconds is None) != (operations > 0):
            raise ValueError("a run lasts either seconds or a number of operations")
        if operations and not connections:
            raise ValueError("operations need a connection")
        if self.scans and not spin:
            raise ValueError("a crowd that scans cannot sleep: spin must be true")

    def in_words(self):
        """Why the run ended with an error."""
        if self.trouble == REFUSED:
            return f"cannot connect: {os.strerror(self.error)}"
        if self.trouble == CLOSED:
            return "the server closed a connection"
        if self.trouble == BROKEN:
            return f"a connection broke: {os.strerror(self.error)}"
        if self.trouble == SILENT:
            return (
                f"no response within {self.patience_ns / 1e9:g} s on {self.silent} of "
                f"{self.wanted} connections"
            )
        if self.trouble == EARLY:
            return "a response was complete before its request was sent"
        if self.trouble == STRAY:
            return "bytes came that nobody asked for"
        return self.workload.complaint()

    # Connections.

    cdef void connect(self, int index) noexcept nogil:
        cdef int error = self.open(index)
        if error == 0:
            self.opened += 1
            self.connections[index].left = self.churn
            self.workload.connected(index)
            return
        self.refused += 1
        # A run of a number of operations would never end.
        if self.workload.strict or self.operations:
            self.give_up(REFUSED, error)

    cdef void reopen(self, int index) noexcept nogil:
        cdef long long pause_ns
        self.shut(index)
        if self.running:
            self.connect(index)
            pause_ns = RETRY_NS if self.sockets[index].fd < 0 else 0
            # The run's own loop asks, never this: a server that closes at once
            # would lead into an endless recursion.
            self.ask_later(index, max(pause_ns, self.a_pause_ns()))

    cdef void gone(self, int index, int error) noexcept nogil:
        """The server has closed it, or it broke."""
        cdef Trouble trouble = BROKEN if error else CLOSED
        if self.sockets[index].in_flight:
            self.settled(index)
            self.fault(LOST, trouble, error)
        else:
            self.closed_by_server += 1
            if self.workload.strict:
                self.give_up(trouble, error)
        self.reopen(index)

    # Requests.

    cdef long long a_pause_ns(self) noexcept nogil:
        if self.think_ns == 0:
            return 0
        return self.think_ns // 2 + <long long> (
            roll(&self.dice) * (self.think_ns / 4294967296.0))

    cdef void ask_later(self, int index, long long pause_ns) noexcept nogil:
        if self.connections[index].quota and not self.connections[index].thinks:
            self.connections[index].thinks = True
            self.due.add(self.now_ns + pause_ns, index)

    cdef void ask(self, int index) noexcept nogil:
        cdef Connection *connection = &self.connections[index]
        cdef const char *request = NULL
        cdef size_t size = 0
        self.workload.ask(index, &request, &size)
        connection.left -= 1
        connection.quota -= 1
        self.asked += 1
        self.in_flight += 1
        self.sockets[index].in_flight = True
        connection.begun_ns = now_ns()
        self.send(index, request, size)

    cdef void settled(self, int index) noexcept nogil:
        """The request in flight has had a response, right or wrong, or never will."""
        self.sockets[index].in_flight = False
        self.in_flight -= 1

    cdef void readable(self, int index) noexcept nogil:
        cdef const char *data = self.incoming
        cdef size_t size
        cdef ssize_t got = recv(
            self.sockets[index].fd, self.incoming, INCOMING_BYTES, MSG_DONTWAIT)
        if got < 0:
            if errno != EAGAIN and errno != EINTR:
                self.gone(index, errno)
            return
        if got == 0 and not self.datagrams:
            self.gone(index, 0)
            return
        size = got
        self.bytes_in += got
        while True:
            if not self.sockets[index].in_flight:
                # Unsolicited, perhaps a late copy; more may follow.
                self.fault(DUPLICATED, STRAY, 0)
                self.reopen(index)
                return
            if not self.judge(index, self.workload.read(index, &data, &size)):
                return
            if size == 0:
                break
        if not self.sockets[index].in_flight:
            self.after_answer(index)

    cdef bint judge(self, int index, Verdict verdict) noexcept nogil:
        """False where there is nothing more to read."""
        cdef Connection *connection = &self.connections[index]
        cdef Trouble trouble = WRONG
        if verdict == UNFINISHED:
            return False
        if verdict == RIGHT and self.sockets[index].unsent_bytes:
            verdict, trouble = GARBLED, EARLY
        if verdict == DUPLICATED:
            self.fault(DUPLICATED, trouble, 0)
            return True
        self.settled(index)
        if verdict == RIGHT:
            self.latencies.add(self.now_ns, now_ns() - connection.begun_ns)
            connection.done += 1
            if connection.done == 1:
                self.unanswered -= 1
                if self.unanswered == 0:
                    self.first_answers_ns = now_ns()
        else:
            self.fault(verdict, trouble, 0)
        if verdict == GARBLED:
            self.reopen(index)
        return verdict != GARBLED

    cdef void after_answer(self, int index) noexcept nogil:
        cdef Connection *connection = &self.connections[index]
        if self.churn and connection.left <= 0:
            self.closed += 1
            self.reopen(index)
        elif not self.running or not connection.quota:
            return
        elif self.think_ns:
            self.ask_later(index, self.a_pause_ns())
        else:
            self.ask(index)

    cdef void fault(self, Verdict verdict, Trouble trouble, int error) noexcept nogil:
        if verdict == LOST:
            self.lost += 1
        elif verdict == DUPLICATED:
            self.duplicated += 1
        elif verdict == MISROUTED:
            self.misrouted += 1
        else:
            self.failed += 1
        if self.workload.strict:
            self.give_up(trouble, error)

    cdef void give_up(self, Trouble trouble, int error) noexcept nogil:
        """End the run with an error: the first one seen."""
        if not self.trouble:
            self.trouble = trouble
            self.error = error

    cdef void give_up_on_the_silent(self) noexcept nogil:
        cdef int i
        self.look_ns = self.now_ns + self.patience_ns // 16
        for i in range(self.wanted):
            if (
                self.sockets[i].in_flight
                and self.now_ns - self.connections[i].begun_ns >= self.patience_ns
            ):
                self.silent += 1
                self.settled(i)
                self.fault(LOST, SILENT, 0)
                self.reopen(i)

    # The run.

    cdef void work(self, long long end_ns, bint spin) noexcept nogil:
        cdef int i
        self.look_ns = self.now_ns + self.patience_ns // 16
        for i in range(self.wanted):
            if self.trouble:
                break
            self.connections[i].done = 0
            self.connections[i].thinks = False
            self.connections[i].left = self.churn
            if self.sockets[i].fd < 0:
                self.reopen(i)
            elif self.think_ns:
                # Spread over the think time, not all at once.
                self.ask_later(i, <long long> (
                    roll(&self.dice) * (self.think_ns / 4294967296.0)))
            elif self.connections[i].quota:
                self.ask(i)
        while self.now_ns < end_ns and not self.trouble:
            if self.operations and self.asked >= self.operations:
                break
            self.wait(min(end_ns, self.due.first()), spin)
            while self.due.first() <= self.now_ns:
                i = self.due.take()
                self.connections[i].thinks = False
                if self.sockets[i].fd < 0:
                    self.reopen(i)
                else:
                    self.ask(i)
        self.running = False
        while self.due.count:
            self.connections[self.due.take()].thinks = False
        while self.in_flight and not self.trouble:
            self.wait(NEVER, spin)

    cdef void wait(self, long long until_ns, bint spin) noexcept nogil:
        """Handle what has come; without *spin*, sleep until something does."""
        until_ns = min(until_ns, self.look_ns)
        self.look(self.wanted, 0 if spin else max(until_ns - self.now_ns, 0), False)
        if self.now_ns >= self.look_ns:
            self.give_up_on_the_silent()
