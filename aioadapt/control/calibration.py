"""Where the thresholds that were measured on this machine are stored."""

import json
import os
from collections.abc import Mapping
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
    """
    path = path or thresholds_path(environ)
    text = json.dumps(
        {"thresholds": thresholds.to_json(), "measured": dict(measured or {})}, indent=2
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever reads meanwhile sees the old one or the new one.
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


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
