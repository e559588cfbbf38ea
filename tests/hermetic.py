"""Isolates the tests from who started them, how, and what else runs on the machine.

A shell's background job ignores SIGINT, and child processes inherit that; a
service manager sets its own variables; other servers of the same user have
their admin sockets where ours are looked for.  pytest calls this once in each
process, before it collects tests.
"""

import os
import resource
import shutil
import signal
import sysconfig
import tempfile
from pathlib import Path

from aioadapt.serving import admin_socket

DESCRIPTORS = 8192
"""What the largest tests need, with both ends of connections in one process."""

KEPT = {"AIOADAPT_FUZZ", "AIOADAPT_SOAK_S"}
"""The aioadapt variables that control a test run, not a server."""

FOREIGN = {
    *("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERMINAL_WIDTH"),
    *("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC"),
    *("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONUNBUFFERED"),
    *("UVICORN_FD", "WEB_CONCURRENCY"),
}


class Surroundings:
    """What :func:`make_hermetic` created; removed at the end."""

    def __init__(self) -> None:
        # Short: a Unix socket's path has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="aioadapt-tests-"))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def make_hermetic() -> Surroundings:
    surroundings = Surroundings()
    _default_signals()
    _clean_environment(surroundings.folder)
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < min(DESCRIPTORS, most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), hard))
    return surroundings


def _default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in (
            signal.SIGPIPE,  # Python ignores these two by default
            signal.SIGXFSZ,
        ):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _clean_environment(folder: Path) -> None:
    for name in list(os.environ):
        ours = name.startswith("AIOADAPT_") and name not in KEPT
        proxy = name.lower().endswith("_proxy")
        if ours or proxy or name in FOREIGN:
            del os.environ[name]
    # Finds this environment's commands, although it was not activated.
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    # Empty, so that neither a stored calibration nor a running server is found.
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    admin_socket.SHARED = folder / "shared"
