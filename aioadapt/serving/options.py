"""The settings of a server, validated before anything starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Self, TypedDict

from aioadapt import ServeError, Thresholds, WorkloadHint
from aioadapt.control.start import STARTS


class Settings(TypedDict, total=False):
    """The settings that :func:`aioadapt.serve` passes to :class:`AdaptiveServer`."""

    factory: bool
    host: str
    port: int
    uds: str | None
    start: str | None
    hint: WorkloadHint | None
    migrate: bool
    adapt: bool
    thresholds: Thresholds | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_keyfile_password: str | None
    log_level: str
    access_log: bool
    graceful_s: float
    keep_alive_s: float
    backlog: int
    admin: str | None
    admin_tcp: tuple[str, int] | None
    uvicorn_settings: Mapping[str, Any] | None


LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of one server process; see :class:`aioadapt.AdaptiveServer`.

    Raises:
        ServeError: a value is invalid, or two contradict each other.
    """

    factory: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    start: str | None = None
    hint: WorkloadHint | None = None
    migrate: bool = True
    adapt: bool = True
    thresholds: Thresholds | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_keyfile_password: str | None = None
    log_level: str = "info"
    access_log: bool = True
    graceful_s: float = 10.0
    keep_alive_s: float = 5.0
    backlog: int = 2048
    admin: str | None = "off"
    admin_tcp: tuple[str, int] | None = None
    uvicorn_settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """*settings*, validated and completed with the defaults."""
        values: dict[str, Any] = {**settings}
        values["uvicorn_settings"] = values.get("uvicorn_settings") or {}
        return cls(**values)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ServeError(f"port must be from 0 to 65535, not {self.port}")
        if self.start is not None and self.start not in STARTS:
            raise ServeError(
                f"start must be one of {', '.join(STARTS)}, not {self.start!r}"
            )
        if self.hint is not None and self.start in ("epoll", "uring"):
            raise ServeError(
                f"the hint {self.hint.option} chooses the engine to start on, but "
                f"start={self.start} names it already; leave one of them out"
            )
        if self.log_level not in LOG_LEVELS:
            raise ServeError(
                f"log_level must be one of {', '.join(LOG_LEVELS)}, not "
                f"{self.log_level!r}"
            )
        for name in ("graceful_s", "keep_alive_s"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ServeError(f"{name} must be 0 or more seconds, not {seconds}")
        if self.backlog < 1:
            raise ServeError(f"backlog must be 1 or more, not {self.backlog}")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ServeError(
                f"the TLS key {self.ssl_keyfile} was given without a certificate "
                "(ssl_certfile)"
            )


def check_extra() -> None:
    """Check that the extra ``serve`` is installed.

    Raises:
        ServeError: it is not.
    """
    if find_spec("uvicorn") is None:
        raise ServeError('not installed: uvicorn; run pip install "aioadapt[serve]"')
