"""Child processes, waited for with a pidfd: no thread, no signal handler, on any thread.

A pidfd names one process for ever.  It becomes readable when the process has
ended, so a child is one more descriptor that the loop watches, and a signal
sent through it cannot reach another process that was given the same number.
asyncio's own child watcher is asked only where pidfds are refused; one that the
program has set, which it may until Python 3.13, always is.

The order is asyncio's: once the status has been read, ``process_exited`` is
called in the next iteration.
"""

from __future__ import annotations

import os
import signal
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from .stdlib_private import UnixSubprocessTransport

if TYPE_CHECKING:
    from .native_loop import NativeLoop

#: What is said of a child whose status somebody else has read; asyncio's.
STATUS_UNKNOWN = 255


def pidfds_work() -> bool:
    """Linux has them since 5.3; a sandbox may refuse either call.

    Asked for each child: beside starting one the three calls are nothing.
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
    """asyncio's transport of a child process, told of its end by a pidfd."""

    #: Owned while the loop watches it; -1 before and after.
    _pidfd = -1

    def _watch(self) -> None:
        """See to it that the child's end is heard of.

        Raises:
            OSError: there is no descriptor for it.
        """
        loop: Any = self._loop
        self._pidfd = os.pidfd_open(self._pid)
        loop.children[self._pidfd] = self
        loop._add_reader(self._pidfd, self._ended)

    def _watch_no_more(self) -> None:
        """The child has ended, or the loop has."""
        pidfd, self._pidfd = self._pidfd, -1
        if self._loop.children.pop(pidfd, None) is not None:
            self._loop._remove_reader(pidfd)
            os.close(pidfd)

    def _ended(self) -> None:
        self._watch_no_more()
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            # close() looks whether the child has ended, and so may have read it.
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
            # Now: from here on the number may be another process's.
            self._proc.returncode = returncode
        self._loop.call_soon(self._process_exited, returncode)

    def send_signal(self, number: int) -> None:
        """Send it; nothing happens when the child has ended.

        Raises:
            ProcessLookupError: the transport is done with.
        """
        self._check_proc()
        if self._pidfd < 0:
            # Nobody waits for the child any more, so this may.
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
    loop: NativeLoop, protocol: Any, *args: Any, extra: Any, **options: Any
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
        # It was killed, so this is soon over; but not in the loop's own time.
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
