"""LoopThread: one loop, running on a thread of its own, from start to close.

    NEW --start--> STARTING --the loop turns--> RUNNING --stop--> STOPPING --> STOPPED
                       '------ it cannot -------------------------------------> STOPPED

The loop is made, run and closed on its thread: an io_uring belongs to the
thread that made it.  The order at the end matters.  First it takes nothing
more, so that connections on their way here go back to where they come from;
then wishes to leave are withdrawn; then tasks are cancelled, which takes turns
of the loop in which other threads may still call it; then the loop closes and
refuses what is left in its inbox.
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

    Its thread is a daemon: a program that forgets to stop it still ends.

    Args:
        engine: as for :func:`aioadapt.new_event_loop`.
        name: for messages and for the thread; made up if not given.
    """

    def __init__(self, engine: str | None = None, *, name: str | None = None) -> None:
        self._engine = engine_name(engine)
        self.name: str = name or f"{self._engine}-{next(_numbers)}"
        # For the moves that are under way: called on the loop's thread when
        # it stops, before its tasks and its streams go.
        self.stop_callbacks: set[Callable[[], None]] = set()
        self._state = State.NEW
        self._loop: ServingLoop | None = None
        self._died_of: BaseException | None = None
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> Self:
        """Start the thread and wait until its loop turns.

        Raises:
            UringUnavailableError: the loop cannot be had here; and whatever
                else kept it from starting.
            RuntimeError: it was started before.
        """
        if self._state is not State.NEW:
            raise RuntimeError(f"{self!r} can be started once only")
        self._state = State.STARTING
        try:
            self._thread.start()
        except BaseException:
            # No thread can be had just now.
            self._state = State.NEW
            raise
        error = self._started.exception()
        if error is not None:
            self._thread.join()
            raise error
        return self

    def stop(self, timeout_s: float | None = None) -> None:
        """Cancel what runs on the loop, close it on its thread, wait for the end.

        Connections that were on their way here go back to the loop they come
        from.  Stopping it again, or before it was started, does nothing.

        Args:
            timeout_s: seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: some task does not end on being cancelled, or a
                callback blocks.  The thread goes on stopping.
            WrongThreadError: called on its own thread, which cannot wait for
                its own end.
        """
        if self._thread is threading.current_thread():
            raise WrongThreadError(
                f"{self!r} cannot be stopped from its own thread, since stopping "
                f"waits for its end; call its loop's stop() there"
            )
        if self._state is State.NEW:
            self._state = State.STOPPED
            return
        if self._thread.ident is None:
            return
        self._started.exception()
        if self._loop is not None:
            # It may have closed by itself meanwhile.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(
                f"{self!r} has not ended within {timeout_s} s (likely cause: a task "
                f"that goes on after being cancelled, or a callback that blocks)"
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
            A future with its result.  Cancelling it cancels the task; stopping
            the thread cancels both.

        Raises:
            LoopStoppedError: there is no loop to run it.  A loop that stops
                before it came to it puts this error into the future.
        """
        if not asyncio.iscoroutine(coro):
            raise TypeError(f"{self!r} runs coroutines, not {coro!r}")
        submission = _Submission(coro, self)
        try:
            self.loop.post(submission)
        except LoopStoppedError as error:
            coro.close()
            raise self._stopped_error() from (self._died_of or error)
        return submission.future

    @property
    def loop(self) -> ServingLoop:
        """The loop; closed, once the thread has stopped.

        Raises:
            LoopStoppedError: the thread has not been started.
        """
        if self._loop is None:
            raise self._stopped_error()
        return self._loop

    @property
    def engine(self) -> str:
        """ "epoll" or "uring"; before the start, what was asked for."""
        return self._engine

    @property
    def running(self) -> bool:
        """Whether its loop takes calls and connections."""
        return self._state is State.RUNNING

    @property
    def connections(self) -> list[Connection]:
        """The server connections that live here at this moment; from any thread."""
        if not self.running:
            return []
        return [
            connection_of(stream, self)
            for stream in self.loop.streams()
            if not stream.closed
        ]

    def __repr__(self) -> str:
        state = self._state.value
        if self._died_of is not None:
            state = f"died of {self._died_of!r}"
        return f"<LoopThread {self.name!r} on {self.engine}: {state}>"

    def _stopped_error(self) -> LoopStoppedError:
        return LoopStoppedError(f"{self!r} runs nothing")

    # -- On the thread.

    def _run(self) -> None:
        runner = asyncio.Runner(loop_factory=self._make_loop)
        try:
            loop = runner.get_loop()
            loop.call_soon(self._is_running)
            loop.run_forever()
        except BaseException as error:
            self._died_of = error
            if self._started.done():
                # Reported by threading.excepthook, now; and by whoever uses
                # this thread later.
                raise
        finally:
            self._wind_up(runner)

    def _make_loop(self) -> ServingLoop:
        self._loop = cast(ServingLoop, new_event_loop(self._engine))
        # Before anything is served: a stream is watched from its first byte
        # or not at all.
        self._loop.watch_http1 = True
        self._engine = self._loop.stats().engine
        return self._loop

    def _is_running(self) -> None:
        self._state = State.RUNNING
        self._started.set_result(None)

    def _wind_up(self, runner: asyncio.Runner) -> None:
        ran, self._state = self._state is State.RUNNING, State.STOPPING
        try:
            if ran:
                for stop_callback in list(self.stop_callbacks):
                    stop_callback()
                runner.close()
        finally:
            if self._loop is not None:
                # Also where the above went wrong, or nothing ever ran.
                self._loop.close()
            self._state = State.STOPPED
            if not ran:
                assert self._died_of is not None
                self._started.set_exception(self._died_of)


class _Submission(Generic[T]):
    """A coroutine on its way to a loop, as a message.

    Not ``run_coroutine_threadsafe``: a loop that stops forgets what that has
    queued, and its future would never be done.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], thread: LoopThread) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coro = coro
        self._thread = thread
        self._context = contextvars.copy_context()

    def deliver(self) -> None:
        if not self._thread.running:
            # It is stopping, and its other tasks have been cancelled.
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
            # A closed loop has cancelled it already.
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
            # Whoever cancelled it does not ask how the task ended.
            if not task.cancelled():
                task.exception()
            return
        error = task.exception()
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())
