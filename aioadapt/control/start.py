"""Which engine a server starts on, and whether it stays there."""

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aioadapt._kernel.refusal import Cause
from aioadapt.errors import UnknownEngineError
from aioadapt.support import uring_refusal

from .sample import Engine
from .thresholds import Thresholds

START_VARIABLE = "AIOADAPT_START"

STARTS = ("auto", "epoll", "uring")


class WorkloadHint(enum.Enum):
    """What a server's author knows of its load; only the start depends on it."""

    HIGH_CONCURRENCY = "many connections at once, with small messages"
    FEW_CONNECTIONS = "few connections at once"
    LARGE_PAYLOADS = "large requests or answers"
    STREAMING = "long answers in many parts"

    @property
    def option(self) -> str:
        """Its name on the command line, such as ``high-concurrency``."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, option: str) -> Self:
        """The reverse of :attr:`option`.

        Raises:
            UnknownEngineError: there is no such hint; the message lists them.
        """
        for hint in cls:
            if hint.option == option.lower().replace("_", "-"):
                return hint
        known = ", ".join(repr(hint.option) for hint in cls)
        raise UnknownEngineError(
            f"there is no workload hint {option!r}; known: {known}"
        )


# Where the hint does not say that io_uring gains, the engine starts that needs
# nothing of the kernel; the controller corrects it either way.
_STARTS_ON: dict[WorkloadHint, Engine] = {
    WorkloadHint.HIGH_CONCURRENCY: "uring",
    WorkloadHint.FEW_CONNECTIONS: "epoll",
    WorkloadHint.LARGE_PAYLOADS: "epoll",
    WorkloadHint.STREAMING: "epoll",
}


@dataclass(frozen=True, slots=True)
class Start:
    """The choice.

    Attributes:
        pinned: the engine stays: somebody has named it, or there is nothing to
            change to.  Adapting is off.
        reason: why, in words.
    """

    engine: Engine
    pinned: bool
    reason: str


def gains_somewhere(thresholds: Thresholds | None) -> bool:
    """Whether HTTP/1 gains from io_uring at some load; False only if that was measured.

    ``aioadapt calibrate`` serves it over both engines.  Where io_uring was better
    at no number of connections, no load will ask for it.
    """
    return thresholds is None or thresholds.up_connections is not None


def choose_start(
    *,
    start: str | None = None,
    hint: WorkloadHint | None = None,
    gains: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> Start:
    """Choose the engine that a server starts on.

    The environment comes first, so that whoever runs a program can correct
    whoever wrote it; then what can be had; then what is known of the load.

    Args:
        start: "epoll" or "uring" pins it; "auto" and None leave the choice.
        hint: what the load will be like.
        gains: False where its protocol gains nothing from io_uring at any load, see
            :func:`gains_somewhere`.
        environ: where ``AIOADAPT_START`` is looked up; it overrides *start*.

    Raises:
        UnknownEngineError: there is no such start; the message lists them.
        UringUnavailableError: "uring" was named and cannot be had.
    """
    name, origin = start or "auto", "the argument `start`"
    if environ.get(START_VARIABLE):
        name, origin = environ[START_VARIABLE], f"${START_VARIABLE}"
    if name not in STARTS:
        known = ", ".join(map(repr, STARTS))
        raise UnknownEngineError(
            f"a server cannot start on {name!r} (from {origin}); known: {known}"
        )
    if name == "epoll":
        return Start("epoll", True, f"{origin} says so")

    refusal = uring_refusal()
    if name == "uring":
        if refusal is not None:
            raise refusal.error()
        return Start("uring", True, f"{origin} says so")
    if refusal is not None:
        # A shortage of the moment may be over when the load asks for io_uring.
        passing = refusal.cause in (Cause.MEMORY, Cause.DESCRIPTORS)
        return Start("epoll", not passing, f"io_uring cannot be used: {refusal.reason}")
    if not gains:
        return Start("epoll", True, "its protocol gains nothing from io_uring here")
    if hint is not None:
        return Start(_STARTS_ON[hint], False, f"the hint: {hint.value}")
    return Start("epoll", False, "no hint, and at few connections epoll is as good")
