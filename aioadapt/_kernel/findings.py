"""What a probe of io_uring found: facts only, no judgement."""

import errno as errnos
import os
from dataclasses import dataclass

# The features that the io_uring loop requires.
REQUIRED = (
    "nodrop",
    "ext_arg",
    "buffer_rings",
    "recv_multishot",
    "poll_multishot",
    "cancel",
)

# Errors that may be temporary; they do not tell what this kernel can do.
PASSING = frozenset(
    {errnos.ENOMEM, errnos.EMFILE, errnos.ENFILE, errnos.EAGAIN, errnos.ENOBUFS}
)


@dataclass(frozen=True, slots=True, repr=False)
class Findings:
    features: frozenset[str]
    """The features that were seen to work."""

    setup_flags: int = 0
    """The IORING_SETUP flags that this kernel accepts together."""

    errno: int = 0
    """Why the probe ended early: the error of something that every io_uring can do."""

    step: str = ""
    """What failed, as in "cannot ..."; empty if ``errno`` is 0."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The required features that were not seen to work."""
        return tuple(name for name in REQUIRED if name not in self.features)

    @property
    def may_pass(self) -> bool:
        """True for a shortage that may be temporary: probing again may help."""
        return self.errno in PASSING

    def __repr__(self) -> str:
        if self.errno:
            return f"<Findings: cannot {self.step}: {os.strerror(self.errno)}>"
        if self.missing:
            return f"<Findings: io_uring without {', '.join(self.missing)}>"
        return "<Findings: io_uring works>"
