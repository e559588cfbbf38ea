"""Where a server's admin socket lies, who may use it, and how it is found.

    $XDG_RUNTIME_DIR/aioadapt/<pid>.sock      or /tmp/aioadapt-<uid>/<pid>.sock

Only its owner can use it: the folder has mode 0700 and the socket 0600.  A
socket gets its mode a moment after its name, and in that moment somebody could
connect.  So it is bound in a new folder that only the owner can enter, given
its mode there, and moved to its place when it has it.  The umask, which belongs
to every thread of the process, is left alone.  It listens by then as well: one
that nobody listens on is a dead server's, and whoever finds it removes it.
"""

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aioadapt import AioadaptError

SUFFIX = ".sock"

SHARED = Path("/tmp")
"""Where a user without ``$XDG_RUNTIME_DIR`` has the folder."""


class AdminError(AioadaptError):
    """The admin address cannot be had, or nobody answers there."""


def folders() -> list[Path]:
    """Where the admin sockets of this user's servers may be.

    A server takes the first.  One that was started by a system service may have
    had no ``$XDG_RUNTIME_DIR``, and then its socket is in the other.
    """
    shared = SHARED / f"aioadapt-{os.getuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # The specification has relative paths ignored.
    if os.path.isabs(runtime):
        return [Path(runtime) / "aioadapt", shared]
    return [shared]


def path_of(pid: int) -> Path:
    """Where the server of that process has its socket, if it is started from here."""
    return folders()[0] / f"{pid}{SUFFIX}"


def find() -> list[Path]:
    """The sockets of this user's running servers; what dead ones left is removed.

    Each is named after its server's pid.  Those in the usual folder, if there
    are any, else those in the other.
    """
    for folder in folders():
        if _is_ours(folder) and (found := _find_in(folder)):
            return found
    return []


def find_pid(pid: int) -> Path | None:
    """The socket of that running server of this user, wherever it is."""
    for folder in folders():
        path = folder / f"{pid}{SUFFIX}"
        if _is_ours(folder) and is_listened_to(path):
            return path
    return None


def _find_in(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not path.stem.isdigit():
            continue
        if is_listened_to(path):
            found.append(path)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return found


def is_listened_to(path: Path) -> bool:
    """Whether some process takes connections there."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            with _short(path) as name:
                caller.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # Its backlog is full, or it is somebody else's: not a dead one.
            return True
    return True


def bind(path: Path) -> socket.socket:
    """A socket that listens on *path*, and that only its owner can connect to.

    Raises:
        AdminError: another server listens there, or something else is there.
        OSError: the folder cannot be written to.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise AdminError(f"{path} is in the way, and is no socket")
        if is_listened_to(path):
            raise AdminError(f"another server listens on {path}")
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as private:
        sock = socket.socket(socket.AF_UNIX)
        try:
            new = Path(private, "s")
            with _short(new) as name:
                sock.bind(name)
            new.chmod(0o600)
            sock.listen()
            new.replace(path)
        except BaseException:
            sock.close()
            raise
    return sock


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A socket connected to *path*, however long that is."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout_s)
    try:
        with _short(path) as name:
            sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


def make_folder(path: Path) -> None:
    """Make the folder for admin sockets, or check the one that is there.

    Raises:
        AdminError: it is there, and others than us have a say in it: below
            /tmp anybody may have made it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(path):
        raise AdminError(f"{path} is not a folder of this user")
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)


def _is_ours(folder: Path) -> bool:
    """A folder that only we can have made; below /tmp others may be first."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for *path* that a socket address, of 107 bytes, has room for."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{parent}/{path.name}"
    finally:
        os.close(parent)
