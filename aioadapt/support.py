"""Can io_uring be used here, and if not, why not?"""

from dataclasses import dataclass

from ._kernel.features import findings
from ._kernel.refusal import Refusal, explain_findings


@dataclass(frozen=True, slots=True)
class UringSupport:
    """What :func:`uring_support` found."""

    available: bool
    """Can :class:`aioadapt.UringEventLoop` run here?"""

    reason: str
    """The error, its likely cause and what to do; empty if available."""

    features: frozenset[str]
    """The features found working, such as ``"defer_taskrun"``, ``"recv_multishot"`` or
    ``"send_zc"``.  Some may be present even if io_uring is not available."""


def uring_support() -> UringSupport:
    """Find out whether the io_uring loop can run on this kernel and in this container.

    The first call sets up a small ring and uses it, which takes about half a
    millisecond; later calls in the same process return the stored result.

    Returns:
        The result, with its reason.  A refusal is a result too; nothing is raised.
    """
    found = findings()
    refusal = explain_findings(found)
    return UringSupport(
        available=refusal is None,
        reason="" if refusal is None else refusal.reason,
        features=found.features,
    )


def uring_refusal() -> Refusal | None:
    """Why io_uring cannot be used here; None where it can."""
    return explain_findings(findings())
