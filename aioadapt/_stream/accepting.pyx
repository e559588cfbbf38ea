"""From an accepted descriptor to a connection that is open.

In asyncio a task does it.  It makes the protocol in the iteration after the one that
accepted, connection_made is called in the next, and the task ends in the one after
that.  A program can see the task: in the protocol factory it is the current task,
``all_tasks`` returns it, and whoever cancels it closes the connection.  So aiosmtpd's
controller, which stops the loop and cancels all tasks, ends a server whose factory
takes too long.

A task costs as much as all the rest of accepting, and hardly any program looks.  So an
``Accepting`` is its own handle in the loop's ready queue and does the same in the same
order, and an ``AcceptTask`` stands for the task.  asyncio knows it as a task of a foreign
class; it is used for one connection after another, since to register one costs as much
as two system calls.  A real asyncio.Task takes over as soon as somebody uses anything
but ``done`` and ``get_loop``, which is what ``all_tasks`` calls.

With a task factory, a ``create_task`` of the program's own, or in debug mode, there is a
real task from the beginning.
"""

from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Exit
from posix.unistd cimport close as close_fd

from aioadapt._http1.exchange cimport Exchange
from aioadapt._loop.fd_callbacks cimport FdCore
from aioadapt._loop.handle cimport enter_context
from aioadapt._stream.stream cimport Stream, new_stream

import asyncio
import socket
from asyncio.events import _get_running_loop, _set_running_loop

from aioadapt.stdlib_private import (
    enter_current_tasks,
    enter_task,
    leave_current_tasks,
    leave_task,
    register_task,
    set_result_unless_cancelled,
    unregister_task,
)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object o)

cdef object asyncio_create_task = asyncio.BaseEventLoop.create_task


cdef class ConnectionMaker:
    """What all connections that one listening socket accepts have in common."""

    def __cinit__(self, *args, **kwargs):
        self.idle_tasks = []

    cdef int accepted(self, int fd, object peername) except -1:
        """Make a connection of it, beginning in the next iteration."""
        cdef Accepting accepting = Accepting.__new__(Accepting)
        accepting.fd = fd
        accepting.maker = self
        accepting.peername = peername
        accepting.loop = self.loop
        accepting.context = PyContext_CopyCurrent()
        self.loop.counted.accepts += 1
        if self.sslcontext is not None:
            self.loop.create_task(self.loop._accept_connection2(
                self.protocol_factory, accepting.as_socket(), {"peername": peername},
                self.sslcontext, self.server, *self.timeouts))
        elif self.may_go_without_a_task():
            accepting.task = self.new_task()
            accepting.schedule()
        else:
            self.loop.create_task(self._accept_connection2(accepting))
        return 0

    cdef bint may_go_without_a_task(self) except -1:
        """Would create_task make an ordinary task, and do nothing else?"""
        if self.loop._debug or self.loop._task_factory is not None:
            return False
        return getattr(self.loop.create_task, "__func__", None) is asyncio_create_task

    cdef AcceptTask new_task(self):
        cdef AcceptTask task
        while self.idle_tasks and (<AcceptTask> self.idle_tasks[0]).is_over():
            task = self.idle_tasks.pop(0)
            # The only reference is ours: the program has kept none.
            if Py_REFCNT(task) == 1:
                task.is_pending = True
                return task
        task = AcceptTask.__new__(AcceptTask)
        task.maker = self
        task.is_pending = True
        register_task(task)
        return task

    async def _accept_connection2(self, Accepting accepting):
        """The task, under asyncio's name for it."""
        try:
            if accepting.stage == ACCEPTED:
                accepting.make()
                awaited = accepting.waiter = self.loop.create_future()
            else:
                # It has taken over, and waits here for its first step.
                awaited = asyncio.sleep(0)
            try:
                await awaited
            except BaseException:
                if accepting.stream is not None:
                    accepting.stream.transport.close()
                raise
            if accepting.ends_run is not None:
                raise accepting.ends_run
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            accepting.report(exc)


cdef class Accepting(Handle):
    """A connection on its way: it is in the ready queue once for each step."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        # Its task was cancelled before it began, or the factory has failed.
        if self.fd >= 0:
            close_fd(self.fd)

    cdef int schedule(self) except -1:
        (<FdCore> self.loop).accept_steps += 1
        return (<FdCore> self.loop).schedule_handle(self)

    cdef int run(self) except -1:
        (<FdCore> self.loop).accept_steps -= 1
        if self.task is None:
            return self.open()
        self.task.running = self
        try:
            return self.take_step()
        finally:
            self.task.running = None

    cdef int take_step(self) except -1:
        if self.stage == MADE:
            return self.open()
        if self.first_step is None:
            return self.make_in_task()
        # A real task makes it, in the place of this handle.
        first_step, self.first_step = self.first_step, None
        first_step._run()
        return 0

    cdef int make_in_task(self) except -1:
        cdef object context = self.context
        cdef bint entered = enter_context(context)
        try:
            enter_task(self.loop, self.task)
            try:
                self.make()
            finally:
                leave_task(self.loop, self.task)
        except (SystemExit, KeyboardInterrupt) as exc:
            # It is the task's exception, too: asyncio tells if nobody asks for it.
            self.ends_run = exc
            self.task.is_pending = True
            self.task.real_task()
        except BaseException as exc:
            self.report(exc)
        finally:
            if entered:
                PyContext_Exit(context)
        if self.first_step is None or self.stage != FAILED:
            return 0
        first_step, self.first_step = self.first_step, None
        if self.ends_run is not None:
            return run_now(self.loop, first_step)
        return (<FdCore> self.loop).schedule_handle(first_step)

    cdef int make(self) except -1:
        """Make protocol and transport; connection_made follows in the next iteration."""
        cdef ConnectionMaker maker = self.maker
        cdef FdCore loop = maker.loop
        cdef Stream stream
        self.stage = MAKING
        try:
            protocol = maker.protocol_factory()
            stream = new_stream(loop, self.fd, maker.family, maker.type, maker.proto,
                                protocol, maker.server)
        except BaseException:
            self.end(FAILED)
            raise
        self.fd = -1
        stream.peername_known = self.peername
        if loop.watch_http1:
            stream.exchange = Exchange.__new__(Exchange)
        self.stream = stream
        self.stage = MADE
        self.context = PyContext_CopyCurrent()
        return self.schedule()

    cdef int open(self) except -1:
        cdef object context = self.context
        cdef bint entered = enter_context(context)
        try:
            self.stream.open()
        finally:
            if entered:
                PyContext_Exit(context)
            self.end(OPENED)
        return 0

    cdef int end(self, Stage stage) except -1:
        cdef AcceptTask task = self.task
        self.stage = stage
        if self.waiter is not None:
            set_result_unless_cancelled(self.waiter, None)
        if task is None:
            return 0
        task.is_pending = False
        if self.first_step is not None and stage == OPENED:
            first_step, self.first_step = self.first_step, None
            return (<FdCore> self.loop).schedule_handle(first_step)
        if task.real is None:
            task.fd = -1
            if stage == OPENED:
                task.fd, task.id = self.stream.fd, self.stream.id
                task.opened_in = self.stream.loop.counted.iterations
            self.maker.idle_tasks.append(task)
        return 0

    cdef int report(self, object exc) except -1:
        """As asyncio, in debug mode only."""
        if self.loop._debug:
            context = {
                "message": "Error on transport creation for incoming connection",
                "exception": exc,
            }
            if self.stream is not None:
                context["protocol"] = self.stream.protocol
                context["transport"] = self.stream.transport
            self.loop.call_exception_handler(context)
        return 0

    cdef object as_socket(self):
        sock = socket.socket(
            self.maker.family, self.maker.type, self.maker.proto, fileno=self.fd)
        self.fd = -1
        sock.setblocking(False)
        return sock


cdef class AcceptTask:
    """Stands for the task of one connection after another."""

    def __cinit__(self):
        self.fd = -1

    @property
    def __class__(self):
        return asyncio.Task

    def __repr__(self):
        return repr(self.real_task())

    def __getattr__(self, name):
        return getattr(self.real_task(), name)

    def __await__(self):
        return self.real_task().__await__()

    def __iter__(self):
        return iter(self.real_task())

    def get_loop(self):
        return self.maker.loop

    def done(self):
        return self.is_over() if self.real is None else self.real.done()

    cdef bint is_over(self) noexcept:
        """In asyncio it ends in the iteration after the one that opened the connection."""
        if self.is_pending:
            return False
        return self.fd < 0 or self.maker.loop.counted.iterations > self.opened_in

    cdef Accepting find(self):
        """It has a step to take, or takes it, or has taken the last one just now."""
        cdef FdCore loop = self.maker.loop
        cdef Accepting accepting
        cdef Stream stream
        if self.running is not None:
            return self.running
        for item in loop._ready:
            if type(item) is Accepting and (<Accepting> item).task is self:
                return item
        accepting = Accepting.__new__(Accepting)
        accepting.maker = self.maker
        accepting.loop = loop
        accepting.task = self
        accepting.context = PyContext_CopyCurrent()
        accepting.stage = FAILED
        stream = loop.streams_by_fd.get(self.fd)
        if not self.is_over() and stream is not None and stream.id == self.id:
            accepting.stage = OPENED
            accepting.stream = stream
        return accepting

    cdef object real_task(self):
        """From now on an asyncio.Task does the rest."""
        cdef FdCore loop = self.maker.loop
        cdef Accepting accepting
        cdef bint is_over
        if self.real is None:
            is_over = self.is_over()
            accepting = self.find()
            coro = self.maker._accept_connection2(accepting)
            if accepting.stage != ACCEPTED:
                coro.send(None)
            self.real = asyncio.Task(coro, loop=loop, context=accepting.context)
            # This one is registered, for both.
            unregister_task(self.real)
            if self in self.maker.idle_tasks:
                self.maker.idle_tasks.remove(self)
            if self.is_pending:
                accepting.first_step = loop.take_newest()
            elif is_over:
                run_now(loop, loop.take_newest())
        return self.real


cdef int run_now(object loop, object step) except -1:
    """A step of a task, in the middle of another's or while the loop does not run."""
    running = _get_running_loop()
    current = leave_current_tasks(loop)
    _set_running_loop(loop)
    try:
        step._run()
    finally:
        _set_running_loop(running)
        enter_current_tasks(loop, current)
    return 0
