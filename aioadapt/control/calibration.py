"""Storage of the thresholds that ``aioadapt calibrate`` measured on this machine."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aioadapt.errors import ThresholdsError

from .thresholds import Thresholds

THRESHOLDS_VARIABLE = "AIOADAPT_THRESHOLDS"


def thresholds_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the thresholds file.

    It is ``$AIOADAPT_THRESHOLDS`` if set, else ``aioadapt/thresholds.json`` in the
    user's configuration folder (``$XDG_CONFIG_HOME``, else ``~/.config``).

    Raises:
        ThresholdsError: none of the three is set, and the user has no home folder.
    """
    path = _path(environ)
    if path is None:
        raise ThresholdsError(
            f"there is no home folder for the thresholds; name a file in "
            f"${THRESHOLDS_VARIABLE}"
        )
    return path


def _path(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(THRESHOLDS_VARIABLE)
    if named:
        return Path(named)
    folder = environ.get("XDG_CONFIG_HOME")
    # The XDG specification requires that relative paths are ignored.
    if folder and os.path.isabs(folder):
        base = Path(folder)
    else:
        try:
            base = Path.home() / ".config"
        except RuntimeError:  # a user without an entry, as in some containers
            return None
    return base / "aioadapt" / "thresholds.json"


def load(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> Thresholds | None:
    """The stored thresholds; None if nothing was stored.

    Raises:
        ThresholdsError: the file cannot be read or contains no valid thresholds, or
            ``$AIOADAPT_THRESHOLDS`` names a file that does not exist.  The message
            names the file.
    """
    named = path is not None or bool(environ.get(THRESHOLDS_VARIABLE))
    path = path or _path(environ)
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not named:
            return None
        raise _unreadable(path, error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise _broken(path, f"not valid JSON: {error}") from error
    if not isinstance(stored, dict) or "thresholds" not in stored:
        raise _broken(path, "the key 'thresholds' is missing")
    try:
        return Thresholds.from_json(stored["thresholds"])
    except ThresholdsError as error:
        raise _broken(path, str(error)) from error


def save(
    thresholds: Thresholds,
    path: Path | None = None,
    *,
    measured: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Store *thresholds* atomically.

    Args:
        thresholds: what :func:`load` will return.
        path: the file; None for :func:`thresholds_path`.  Its folder is created.
        measured: stored beside them, such as where and how they were measured; any
            JSON values.
        environ: where the default path is looked up.

    Returns:
        The path of the file.

    Raises:
        ThresholdsError: the file cannot be written.
    """
    path = path or thresholds_path(environ)
    text = json.dumps(
        {"thresholds": thresholds.to_json(), "measured": dict(measured or {})}, indent=2
    )
    # A concurrent reader sees the old file or the new one.
    with _beside(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    return path


def check_place(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> None:
    """Check that :func:`save` can write there, before minutes go into measuring.

    Raises:
        ThresholdsError: it cannot.
    """
    path = path or thresholds_path(environ)
    with _beside(path) as beside:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside.touch()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary file name in the folder of *path*, which is created.

    The file is removed at the end if it still exists.

    Raises:
        ThresholdsError: for any OSError in the meantime.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ThresholdsError(
            f"cannot store thresholds in {path}: {error.strerror} (choose another file "
            f"with --output or ${THRESHOLDS_VARIABLE})"
        ) from error


def _unreadable(path: Path, error: Exception) -> ThresholdsError:
    return ThresholdsError(
        f"cannot read the thresholds in {path}: {error} (set ${THRESHOLDS_VARIABLE} to "
        f"another file, or measure them with `aioadapt calibrate`)"
    )


def _broken(path: Path, what: str) -> ThresholdsError:
    return ThresholdsError(
        f"the thresholds in {path} are invalid: {what} (fix or remove the file, or "
        f"measure them again with `aioadapt calibrate`)"
    )
