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
    """What came back, its likely cause and the way on; empty where it is available."""

    features: frozenset[str]
    """What was seen working, such as ``"defer_taskrun"``, ``"recv_multishot"`` or
    ``"send_zc"``.  Some may be here even where what is needed most is not."""


def uring_support() -> UringSupport:
    """Find out whether this kernel and container allow io_uring, for the io_uring loop.

    Sets a small ring up and uses it, which takes about half a millisecond the
    first time; later calls, in the same process, know the answer.

    Returns:
        The verdict, with its reason.  A refusal is an answer, and nothing is raised.
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
