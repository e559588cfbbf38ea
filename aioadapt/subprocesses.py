"""Child processes, waited for with pidfds: on any thread, no helper thread or signals.

A pidfd refers to the same process forever.  It becomes readable when the process
exits, so a child is one more descriptor that the loop watches.  A signal sent through
it cannot reach another process that reuses the pid.  asyncio's own child watcher is
used only where pidfds are not allowed; one that the program has set, which is possible
up to Python 3.13, is always used.

The order is asyncio's: once the status has been read, ``process_exited`` is called in
the next iteration.
"""

import asyncio
import os
import signal
from asyncio.log import logger
from typing import Any

from .stdlib_private import UnixSubprocessTransport

#: Reported for a child whose status something else has read; asyncio's value.
STATUS_UNKNOWN = 255


def pidfds_work() -> bool:
    """Linux has pidfds since 5.3; a sandbox may refuse either call.

    Checked for each child: compared with starting one, the three calls cost nothing.
    """
    try:
        pidfd = os.pidfd_open(os.getpid())
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


class SubprocessTransport(UnixSubprocessTransport):  # type: ignore[misc]
    """asyncio's transport for a child process, notified of its exit by a pidfd."""

    #: Owned while the loop watches it; -1 before and after.
    _pidfd = -1

    def _watch(self) -> None:
        """Start watching for the child's exit.

        Raises:
            OSError: no descriptor is available.
        """
        loop: Any = self._loop
        self._pidfd = os.pidfd_open(self._pid)
        loop.children[self._pidfd] = self
        loop._add_reader(self._pidfd, self._ended)

    def _stop_watching(self) -> None:
        """The child has exited, or the loop is closing."""
        pidfd, self._pidfd = self._pidfd, -1
        if self._loop.children.pop(pidfd, None) is not None:
            self._loop._remove_reader(pidfd)
            os.close(pidfd)

    def _ended(self) -> None:
        self._stop_watching()
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            # close() polls the child and may have read its status.
            returncode = self._proc.returncode
            if returncode is None:
                returncode = STATUS_UNKNOWN
                logger.warning(
                    "child process pid %d exit status already read: "
                    " will report returncode 255",
                    self._pid,
                )
        else:
            returncode = os.waitstatus_to_exitcode(status)
            # Set it now: from here on the pid may be reused.
            self._proc.returncode = returncode
        self._loop.call_soon(self._process_exited, returncode)

    def __del__(self) -> None:
        try:
            super().__del__()
        except RuntimeError:
            # asyncio closes the pipes, which tell their protocols in a callback.
            if not self._loop.is_closed():
                raise

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if the child has exited.

        Raises:
            ProcessLookupError: the child has exited and the transport has finished.
        """
        self._check_proc()
        if self._pidfd < 0:
            # The child is no longer watched, so this may wait for it.
            self._proc.send_signal(number)
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def start_subprocess(
    loop: asyncio.AbstractEventLoop,
    protocol: Any,
    *args: Any,
    extra: Any,
    **options: Any,
) -> SubprocessTransport:
    """What asyncio's ``_make_subprocess_transport`` does, without a child watcher."""
    waiter = loop.create_future()
    transport = SubprocessTransport(
        loop, protocol, *args, waiter=waiter, extra=extra, **options
    )
    try:
        transport._watch()
    except OSError:
        transport.close()
        # close() killed it, so this is short; still, it must not block the loop.
        await loop.run_in_executor(None, transport._proc.wait)
        raise
    try:
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return transport
