"""Explains why the kernel refused io_uring, from the errno and from /proc.

The errno alone says little: EPERM may come from a container's filter or from the
administrator's sysctl; ENOSYS from an old kernel, from a sandbox, or from a filter
that returns it.  What /proc says tells them apart, and each has its own remedy.
"""

import enum
import errno as errnos
import os
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass

from aioadapt.errors import UringUnavailableError

from .findings import Findings

# Seen as an ordinary user on Linux 6.18: 512 KiB are enough for 4 rings of 1,024
# entries, 8 MiB for at least 64.
ENOUGH_MEMLOCK_BYTES = 8 << 20

_TOO_OLD = "it is too old; Linux 6.1 and later have everything needed"

_ALLOW_IN_PROFILE = (
    "allow io_uring_setup, io_uring_enter and io_uring_register in the container's "
    "profile"
)

CAP_IPC_LOCK = 14
CAP_SYS_ADMIN = 21


class Cause(enum.Enum):
    SECCOMP = "a seccomp filter, such as container engines install, forbids it"
    SYSCTL = "the administrator has disabled io_uring"
    SECURITY_MODULE = "not sysctl or seccomp: perhaps a security module such as SELinux"
    NO_IO_URING = "this kernel, or the sandbox that emulates it, has no io_uring"
    TOO_OLD = "this kernel's io_uring lacks what the loop needs"
    MEMLOCK = "the user's limit on locked memory is too low"
    MEMORY = "the machine or the control group is short of memory"
    DESCRIPTORS = "too many descriptors are open"
    UNKNOWN = "this error has no known cause"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts that help to explain a refusal; None where /proc does not tell."""

    uring_disabled: int | None = None
    """``kernel.io_uring_disabled``; since Linux 6.6, in kernels that have io_uring."""
    in_uring_group: bool = False
    """Are we in ``kernel.io_uring_group``?  Its members may pass if the former is 1."""
    seccomp_filter: bool = False
    capabilities: int = 0
    memlock_bytes: int | None = None
    """The soft RLIMIT_MEMLOCK; None for no limit."""

    def has(self, capability: int) -> bool:
        return bool(self.capabilities >> capability & 1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal, explained; ``reason`` is the complete sentence for the user."""

    cause: Cause
    errno: int
    reason: str

    def error(self) -> UringUnavailableError:
        return UringUnavailableError(
            self.errno, f"{self.reason}. aioadapt.EpollEventLoop works without it"
        )


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def look_around(
    read: Callable[[str], str] = _read,
    memlock: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
) -> Surroundings:
    """Read what helps to explain a refusal on this very thread; never raises."""

    def text(path: str) -> str:
        try:
            return read(path)
        except OSError:
            return ""

    def number(path: str) -> int | None:
        match = re.fullmatch(r"-?\d+", text(path).strip())
        return int(match[0]) if match else None

    # Of the thread: a filter can be installed on a single thread.
    status = dict(
        re.findall(
            r"^(\w+):[ \t]*(.*)$", text("/proc/thread-self/status"), re.MULTILINE
        )
    )
    groups = {*status.get("Gid", "").split()[-1:], *status.get("Groups", "").split()}
    limit = memlock()
    return Surroundings(
        uring_disabled=number("/proc/sys/kernel/io_uring_disabled"),
        in_uring_group=str(number("/proc/sys/kernel/io_uring_group")) in groups,
        seccomp_filter=status.get("Seccomp") == "2",
        capabilities=int(status.get("CapEff", "0"), 16),
        memlock_bytes=None if limit == resource.RLIM_INFINITY else limit,
    )


def explain(errno: int, step: str, around: Surroundings) -> Refusal:
    """Explain why *step* ("set up an io_uring of 8 entries") failed with *errno*."""
    cause, hint = _judge(errno, around)
    reason = f"cannot {step}: {os.strerror(errno)} (likely cause: {hint})"
    return Refusal(cause, errno, reason)


def explain_findings(
    findings: Findings, around: Surroundings | None = None
) -> Refusal | None:
    """Explain what a probe did not find; None if it found everything."""
    if findings.errno:
        return explain(findings.errno, findings.step, around or look_around())
    if findings.missing:
        # Only the first: what depends on it was not tried.
        return Refusal(
            Cause.TOO_OLD,
            errnos.EOPNOTSUPP,
            f"cannot use io_uring: this kernel ({os.uname().release}) lacks "
            f"{findings.missing[0]} (likely cause: {_TOO_OLD})",
        )
    return None


def _judge(errno: int, around: Surroundings) -> tuple[Cause, str]:
    match errno:
        case errnos.EPERM | errnos.EACCES:
            if _is_switched_off(around):
                return Cause.SYSCTL, _way_past_sysctl(around)
            if around.seccomp_filter:
                return Cause.SECCOMP, (
                    "a seccomp filter forbids it, as the default profiles of Docker, "
                    f"containerd and Podman do; {_ALLOW_IN_PROFILE}, or run it with "
                    "`--security-opt seccomp=unconfined`"
                )
            return Cause.SECURITY_MODULE, (
                "neither `sysctl kernel.io_uring_disabled` nor a seccomp filter "
                "forbids it, so it may be a security module; look for a denial in the "
                "audit log"
            )
        case errnos.ENOSYS:
            # Only a kernel with io_uring has the sysctl.
            if around.seccomp_filter and around.uring_disabled is not None:
                return Cause.SECCOMP, (
                    "this kernel has io_uring, but a seccomp filter hides it; "
                    f"{_ALLOW_IN_PROFILE}"
                )
            return Cause.NO_IO_URING, (
                f"kernel {os.uname().release} is older than io_uring or built without "
                "it, or is emulated by a sandbox such as gVisor; Linux 6.1 and later "
                f"have everything needed{_filter_may_too(around)}"
            )
        case errnos.ENOMEM:
            if around.memlock_bytes is None or around.has(CAP_IPC_LOCK):
                return Cause.MEMORY, (
                    "this machine or this control group is short of memory, since no "
                    "RLIMIT_MEMLOCK applies here; free some"
                )
            enough_kib = ENOUGH_MEMLOCK_BYTES >> 10
            return Cause.MEMLOCK, (
                f"RLIMIT_MEMLOCK is {around.memlock_bytes >> 10} KiB, for all rings of "
                f"this user together; raise it to {enough_kib} KiB or more: "
                f"`ulimit -l {enough_kib}`, `LimitMEMLOCK=` in a systemd unit, "
                "`--ulimit memlock=` for a container"
            )
        case errnos.EMFILE:
            return Cause.DESCRIPTORS, (
                "this process has reached RLIMIT_NOFILE; raise it (`ulimit -n`) or "
                "close some files"
            )
        case errnos.ENFILE:
            return Cause.DESCRIPTORS, (
                "all processes together have reached `sysctl fs.file-max`; raise it or "
                "close some files"
            )
        case _:
            return Cause.UNKNOWN, f"unknown; io_uring should not give errno {errno}"


def _is_switched_off(around: Surroundings) -> bool:
    if around.uring_disabled != 1:
        return around.uring_disabled == 2
    # CAP_SYS_ADMIN overrides the sysctl, but not if it is held only in a
    # container's own user namespace, and the two look alike from inside.  So if
    # we seem to have it, a filter explains the refusal; without a filter the
    # sysctl does.
    passes = around.has(CAP_SYS_ADMIN) and around.seccomp_filter
    return not around.in_uring_group and not passes


def _way_past_sysctl(around: Surroundings) -> str:
    if around.uring_disabled == 2:
        state = "is 2: nobody may use io_uring; "
    else:
        state = (
            "is 1: only processes with CAP_SYS_ADMIN or in the group that "
            "`sysctl kernel.io_uring_group` names may use io_uring; join that group, "
            "or "
        )
    return (
        f"`sysctl kernel.io_uring_disabled` {state}"
        f"`sysctl -w kernel.io_uring_disabled=0` allows it{_filter_may_too(around)}"
    )


def _filter_may_too(around: Surroundings) -> str:
    if not around.seccomp_filter:
        return ""
    return "; a seccomp filter is active too and may forbid it as well"
