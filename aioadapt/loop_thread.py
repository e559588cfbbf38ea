"""LoopThread: one loop on a thread of its own, from start to close.

    NEW --start()--> STARTING --loop runs--> RUNNING --stop()--> STOPPING --> STOPPED
                         |                                                       ^
                         '------ it cannot start --------------------------------'

The loop is created, run and closed on its thread, since an io_uring belongs to the
thread that uses it.  The order at the end matters:

1. The loop accepts nothing more, so connections in flight to it return to the loop
   that they came from.
2. Pending releases are cancelled.
3. Tasks are cancelled.  This takes iterations, in which other threads may still
   call the loop.
4. The loop closes and refuses what is left in its inbox.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import enum
import itertools
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from .engine import engine_name, new_event_loop
from .errors import LoopStoppedError, WrongThreadError
from .migration.connection import Connection, connection_of
from .migration.ports import ServingLoop

T = TypeVar("T")

_numbers = itertools.count(1)


class State(enum.Enum):
    NEW = "not started"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class LoopThread:
    """An event loop on a thread of its own, whose connections can be moved.

    ::

        with aioadapt.LoopThread("epoll") as a, aioadapt.LoopThread("uring") as b:
            a.submit(serve()).result()

    Its thread is a daemon thread: a program that does not stop it can still exit.

    Args:
        engine: as for :func:`aioadapt.new_event_loop`.
        name: used in messages and as the thread's name; generated if not given.
    """

    def __init__(self, engine: str | None = None, *, name: str | None = None) -> None:
        self._engine = engine_name(engine)
        self.name: str = name or f"{self._engine}-{next(_numbers)}"
        # Called on the loop's thread when it stops, before its tasks and streams
        # are ended: for moves in progress.
        self.stop_callbacks: set[Callable[[], None]] = set()
        self._state = State.NEW
        self._loop: ServingLoop | None = None
        self._failure: BaseException | None = None
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        # Held to leave NEW, which either start() or stop() does.  Reentrant: a
        # signal handler may call stop() while this thread is in start().
        self._leaving_new = threading.RLock()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> Self:
        """Start the thread and wait until its loop runs.

        Raises:
            UringUnavailableError: io_uring cannot be used here.
            RuntimeError: it has been started before.
            Exception: any other error that kept the loop from starting.
        """
        with self._leaving_new:
            if self._state is not State.NEW:
                raise RuntimeError(f"{self!r} can only be started once")
            self._state = State.STARTING
            try:
                self._thread.start()
            except BaseException:
                # The system cannot create a thread at the moment.
                self._state = State.NEW
                raise
        error = self._started.exception()
        if error is not None:
            self._thread.join()
            raise error
        return self

    def stop(self, timeout_s: float | None = None) -> None:
        """Cancel the loop's tasks, close it on its thread, wait for the thread to end.

        Connections in flight to this loop return to the loop that they came from.
        Any thread may call it, any number of times: each call waits for the same
        end, and none cuts short the clean-up that an earlier one began.  Before
        the start it keeps the thread from ever being started.

        Args:
            timeout_s: seconds to wait; None: as long as it takes; 0: ask only.

        Raises:
            TimeoutError: a task does not end when cancelled, or a callback
                blocks.  The thread continues to stop.
            WrongThreadError: called on its own thread, which cannot wait for
                itself.
        """
        if self._thread is threading.current_thread():
            raise WrongThreadError(
                f"{self!r} cannot be stopped from its own thread, because stop() "
                f"waits for that thread to end; call its loop's stop() there"
            )
        with self._leaving_new:
            if self._state is State.NEW:
                self._state = State.STOPPED
            if self._thread.ident is None:
                return
        self._started.exception()
        if self._loop is not None:
            # It may have closed meanwhile.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop_running)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(
                f"{self!r} did not stop within {timeout_s} s (likely cause: a task "
                f"that continues after being cancelled, or a callback that blocks)"
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def submit(self, coro: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run *coro* as a task of the loop; from any thread.

        Returns:
            A future for its result.  Cancelling the future cancels the task;
            stopping the thread cancels both.

        Raises:
            LoopStoppedError: there is no loop to run it.  If the loop stops
                before it starts *coro*, the future gets this error.
        """
        if not asyncio.iscoroutine(coro):
            raise TypeError(f"{self!r} runs coroutines, not {coro!r}")
        submission = _Submission(coro, self)
        try:
            self.loop.post(submission)
        except LoopStoppedError as error:
            coro.close()
            raise self._stopped_error() from (self._failure or error)
        return submission.future

    @property
    def loop(self) -> ServingLoop:
        """The loop; closed once the thread has stopped.

        Raises:
            LoopStoppedError: the thread has not been started.
        """
        if self._loop is None:
            raise self._stopped_error()
        return self._loop

    @property
    def engine(self) -> str:
        """ "epoll", "uring" or "adaptive"; before the start, what was requested."""
        return self._engine

    @property
    def running(self) -> bool:
        """Whether its loop accepts calls and connections."""
        return self._state is State.RUNNING

    @property
    def connections(self) -> list[Connection]:
        """The server connections on this loop right now; from any thread."""
        if not self.running:
            return []
        return [
            connection_of(stream, self)
            for stream in self.loop.streams()
            if not stream.closed
        ]

    def __repr__(self) -> str:
        state = self._state.value
        if self._failure is not None:
            state = f"failed with {self._failure!r}"
        return f"<LoopThread {self.name!r} on {self.engine}: {state}>"

    def _stopped_error(self) -> LoopStoppedError:
        return LoopStoppedError(f"{self!r} is not running")

    # -- On the thread.

    def _run(self) -> None:
        runner = asyncio.Runner(loop_factory=self._make_loop)
        try:
            loop = runner.get_loop()
            loop.call_soon(self._set_running)
            loop.run_forever()
        except BaseException as error:
            self._failure = error
            if self._started.done():
                # threading.excepthook reports it now, and later uses of this
                # thread do too.
                raise
        finally:
            self._shut_down(runner)

    def _make_loop(self) -> ServingLoop:
        self._loop = cast(ServingLoop, new_event_loop(self._engine))
        # Before it serves anything: a stream is watched from its first byte or
        # not at all.
        self._loop.watch_http1 = True
        if self._engine == "auto":
            self._engine = self._loop.stats().engine
        return self._loop

    def _set_running(self) -> None:
        self._state = State.RUNNING
        self._started.set_result(None)

    def _stop_running(self) -> None:
        # While it stops, the loop runs what cleans up: stopping that would cut it
        # short.
        if self._state is State.RUNNING and self._loop is not None:
            self._loop.stop()

    def _shut_down(self, runner: asyncio.Runner) -> None:
        ran, self._state = self._state is State.RUNNING, State.STOPPING
        try:
            if ran:
                for stop_callback in list(self.stop_callbacks):
                    stop_callback()
                runner.close()
        finally:
            if self._loop is not None:
                # Also if the above failed, or nothing ever ran.
                self._loop.close()
            self._state = State.STOPPED
            if not ran:
                assert self._failure is not None
                self._started.set_exception(self._failure)


class _Submission(Generic[T]):
    """A coroutine sent to a loop as a message.

    Not ``run_coroutine_threadsafe``: a loop that stops drops what that has queued,
    and the future would never be done.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], thread: LoopThread) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coro = coro
        self._thread = thread
        self._context = contextvars.copy_context()

    def deliver(self) -> None:
        if not self._thread.running:
            # It is stopping and has already cancelled its tasks.
            self.refuse()
            return
        if self.future.cancelled():
            self.future.set_running_or_notify_cancel()
            self._coro.close()
            return
        loop = self._thread.loop
        task = loop.create_task(self._coro, context=self._context)
        task.add_done_callback(self._copy)

        def cancel(future: concurrent.futures.Future[T]) -> None:
            # If the loop is closed, the task was cancelled then.
            if future.cancelled():
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)

        self.future.add_done_callback(cancel)

    def refuse(self) -> None:
        self._coro.close()
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(self._thread._stopped_error())

    def _copy(self, task: "asyncio.Task[T]") -> None:
        if task.cancelled():
            self.future.cancel()
        if not self.future.set_running_or_notify_cancel():
            # The caller cancelled it and is not interested in how the task ended.
            if not task.cancelled():
                task.exception()
            return
        error = task.exception()
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())
