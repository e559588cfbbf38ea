"""What a probe of io_uring found; plain facts, without a judgement."""

import errno as errnos
import os
from dataclasses import dataclass

# What the io_uring loop cannot do without.
REQUIRED = (
    "nodrop",
    "ext_arg",
    "send",
    "buffer_rings",
    "recv_multishot",
    "poll_multishot",
    "accept_multishot",
    "cancel",
)

# Refusals that may be over in a moment, whatever this kernel can do.
PASSING = frozenset(
    {errnos.ENOMEM, errnos.EMFILE, errnos.ENFILE, errnos.EAGAIN, errnos.ENOBUFS}
)


@dataclass(frozen=True, slots=True, repr=False)
class Findings:
    features: frozenset[str]
    """What was seen working."""

    setup_flags: int = 0
    """The IORING_SETUP flags that work together here."""

    errno: int = 0
    """Why the probe ended early: the kernel refused what every io_uring can do."""

    step: str = ""
    """What it refused, as in "cannot ..."; empty where ``errno`` is 0."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The required features that were not seen working."""
        return tuple(name for name in REQUIRED if name not in self.features)

    @property
    def may_pass(self) -> bool:
        """Is this a shortage of the moment, so that asking again may help?"""
        return self.errno in PASSING

    def __repr__(self) -> str:
        if self.errno:
            return f"<Findings: cannot {self.step}: {os.strerror(self.errno)}>"
        if self.missing:
            return f"<Findings: io_uring without {', '.join(self.missing)}>"
        return "<Findings: io_uring works>"
