"""Where the thresholds that were measured on this machine are stored."""

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
    """``$AIOADAPT_THRESHOLDS``, else ``aioadapt/thresholds.json`` in the user's
    configuration folder (``$XDG_CONFIG_HOME``, else ``~/.config``)."""
    named = environ.get(THRESHOLDS_VARIABLE)
    if named:
        return Path(named)
    folder = environ.get("XDG_CONFIG_HOME")
    # The specification has relative paths ignored.
    base = Path(folder) if folder and os.path.isabs(folder) else Path.home() / ".config"
    return base / "aioadapt" / "thresholds.json"


def load(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> Thresholds | None:
    """The stored thresholds; None where nothing was stored.

    Raises:
        ThresholdsError: the file cannot be read, or holds no thresholds; or
            ``$AIOADAPT_THRESHOLDS`` names a file that is not there.  The message
            names the file.
    """
    named = path is not None or bool(environ.get(THRESHOLDS_VARIABLE))
    path = path or thresholds_path(environ)
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
        raise _broken(path, f"it is not JSON: {error}") from error
    if not isinstance(stored, dict) or "thresholds" not in stored:
        raise _broken(path, "it has no member 'thresholds'")
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
    """Store *thresholds*, whole or not at all.

    Args:
        thresholds: to be found by :func:`load`.
        path: default: :func:`thresholds_path`.  Its folder is made.
        measured: where and how, to be kept with them; anything that is JSON.
        environ: where the default path is looked up.

    Returns:
        The path.

    Raises:
        ThresholdsError: the file cannot be written.
    """
    path = path or thresholds_path(environ)
    text = json.dumps(
        {"thresholds": thresholds.to_json(), "measured": dict(measured or {})}, indent=2
    )
    # Whoever reads meanwhile sees the old one or the new one.
    with _beside(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    return path


def check_place(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> None:
    """Whether :func:`save` could write there; before minutes are spent on measuring.

    Raises:
        ThresholdsError: it could not.
    """
    path = path or thresholds_path(environ)
    with _beside(path) as beside:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside.touch()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the folder of *path*, which is made, for a file that is gone in the end.

    Raises:
        ThresholdsError: for any OSError in between.
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
            f"cannot store thresholds in {path}: {error.strerror} (name another file "
            f"with --output, or in ${THRESHOLDS_VARIABLE})"
        ) from error


def _unreadable(path: Path, error: Exception) -> ThresholdsError:
    return ThresholdsError(
        f"cannot read the thresholds in {path}: {error} (name another file in "
        f"${THRESHOLDS_VARIABLE}, or measure them with `aioadapt calibrate`)"
    )


def _broken(path: Path, what: str) -> ThresholdsError:
    return ThresholdsError(
        f"the thresholds in {path} cannot be used: {what} (correct or remove the file, "
        f"or measure them again with `aioadapt calibrate`)"
    )
