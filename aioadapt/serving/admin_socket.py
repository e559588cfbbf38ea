"""The path of a server's admin socket, its permissions, and how it is found.

    $XDG_RUNTIME_DIR/aioadapt/<pid>.sock      or /tmp/aioadapt-<uid>/<pid>.sock

Only the owner can use it: the folder has mode 0700 and the socket 0600.  A socket
gets its mode only after it is bound, and in between another user could connect.
So it is bound in a temporary folder that only the owner can enter, given its mode
there, and then moved into place.  That leaves the umask alone, which belongs to
all threads of the process.  It is also listening before the move: a socket that
nothing listens on belongs to a dead server, and the next process that finds it
removes it.
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
"""The parent of the folder for users without ``$XDG_RUNTIME_DIR``."""


class AdminError(AioadaptError):
    """The admin address cannot be used, or no server answers there."""


def folders() -> list[Path]:
    """The folders in which the admin sockets of this user's servers may be.

    A server uses the first.  A server that was started as a system service may have
    had no ``$XDG_RUNTIME_DIR``; then its socket is in the other.
    """
    shared = SHARED / f"aioadapt-{os.getuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # The XDG specification requires that relative paths are ignored.
    if os.path.isabs(runtime):
        return [Path(runtime) / "aioadapt", shared]
    return [shared]


def path_of(pid: int) -> Path:
    """The path of the socket of process *pid*, if it has the same environment."""
    return folders()[0] / f"{pid}{SUFFIX}"


def find() -> list[Path]:
    """The sockets of this user's running servers; those of dead servers are removed.

    Each is named after its server's pid.  If there are any in the first folder, the
    other is not searched.
    """
    for folder in folders():
        if _is_ours(folder) and (found := _find_in(folder)):
            return found
    return []


def find_pid(pid: int) -> Path | None:
    """The socket of this user's running server *pid*, in either folder."""
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
    """Whether a process is listening on *path*."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            with _short(path) as name:
                caller.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # The backlog is full or another user owns it; either way it is in use.
            return True
    return True


def bind(path: Path) -> socket.socket:
    """A socket listening on *path* that only its owner can connect to.

    Raises:
        AdminError: another server listens there, or the path is not a socket.
        OSError: the folder is not writable.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise AdminError(f"{path} exists and is not a socket")
        if is_listened_to(path):
            raise AdminError(f"another server is listening on {path}")
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
    """A socket connected to *path*, which may be longer than a socket address."""
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
    """Create the folder for admin sockets, or check the existing one.

    Raises:
        AdminError: it exists and another user owns it; below /tmp anyone may have
            created it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(path):
        raise AdminError(f"{path} is not a folder owned by this user")
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)


def _is_ours(folder: Path) -> bool:
    """Whether this user owns the folder; below /tmp another user may have made it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for *path* that fits into a socket address, which holds 107 bytes."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{parent}/{path.name}"
    finally:
        os.close(parent)
