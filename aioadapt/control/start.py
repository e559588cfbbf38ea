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
    """The expected workload; it only decides which engine the server starts on."""

    HIGH_CONCURRENCY = "many concurrent connections, small messages"
    FEW_CONNECTIONS = "few concurrent connections"
    LARGE_PAYLOADS = "large requests or responses"
    STREAMING = "long streamed responses"

    @property
    def option(self) -> str:
        """Its name on the command line, such as ``high-concurrency``."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, option: str) -> Self:
        """The reverse of :attr:`option`.

        Raises:
            UnknownEngineError: there is no such hint; the message lists the known
                ones.
        """
        for hint in cls:
            if hint.option == option.lower().replace("_", "-"):
                return hint
        known = ", ".join(repr(hint.option) for hint in cls)
        raise UnknownEngineError(f"unknown workload hint {option!r}; known: {known}")


# Unless the hint suggests that io_uring pays off, a server starts on epoll, which
# works everywhere; the controller corrects the choice either way.
_STARTS_ON: dict[WorkloadHint, Engine] = {
    WorkloadHint.HIGH_CONCURRENCY: "uring",
    WorkloadHint.FEW_CONNECTIONS: "epoll",
    WorkloadHint.LARGE_PAYLOADS: "epoll",
    WorkloadHint.STREAMING: "epoll",
}


@dataclass(frozen=True, slots=True)
class Start:
    """The engine that a server starts on.

    Attributes:
        engine: the engine.
        pinned: True if the server stays on it, with adapting off: the engine was
            named explicitly, or there is none to switch to.
        reason: why, in words.
    """

    engine: Engine
    pinned: bool
    reason: str


def gains_somewhere(thresholds: Thresholds | None) -> bool:
    """Whether HTTP/1 benefits from io_uring at some load; False only if measured so.

    ``aioadapt calibrate`` serves HTTP/1 over both engines.  If io_uring was not
    better at any number of connections, no load will ever call for it.
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

    The environment variable comes first, so that the person who runs a program can
    override the one who wrote it.  Then follows what is available, and then what is
    known about the load.

    Args:
        start: "epoll" or "uring" pins the engine; "auto" and None leave the choice.
        hint: the expected workload.
        gains: False if the protocol does not benefit from io_uring at any load, see
            :func:`gains_somewhere`.
        environ: where ``AIOADAPT_START`` is looked up; it overrides *start*.

    Raises:
        UnknownEngineError: the name is unknown; the message lists the known ones.
        UringUnavailableError: "uring" was named and cannot be used here.
    """
    name, origin = start or "auto", "the `start` argument"
    if environ.get(START_VARIABLE):
        name, origin = environ[START_VARIABLE], f"${START_VARIABLE}"
    if name not in STARTS:
        known = ", ".join(map(repr, STARTS))
        raise UnknownEngineError(
            f"unknown start engine {name!r} (from {origin}); known: {known}"
        )
    if name == "epoll":
        return Start("epoll", True, f"set by {origin}")

    refusal = uring_refusal()
    if name == "uring":
        if refusal is not None:
            raise refusal.error()
        return Start("uring", True, f"set by {origin}")
    if refusal is not None:
        # A temporary shortage may be over when the load calls for io_uring.
        passing = refusal.cause in (Cause.MEMORY, Cause.DESCRIPTORS)
        return Start("epoll", not passing, f"io_uring cannot be used: {refusal.reason}")
    if not gains:
        return Start(
            "epoll", True, "the protocol does not benefit from io_uring on this machine"
        )
    if hint is not None:
        return Start(_STARTS_ON[hint], False, f"workload hint: {hint.value}")
    return Start(
        "epoll", False, "no workload hint, and epoll is as good with few connections"
    )
