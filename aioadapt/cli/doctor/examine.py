"""Looking at this machine: what ``aioadapt doctor --json`` prints.

The fields below are stable.  ``format`` grows by one when one of them goes or
changes its meaning; new ones may come at any time.

    format              1
    io_uring            available: bool
                        cause: null, or one of seccomp, sysctl, security_module,
                            no_io_uring, too_old, memlock, memory, descriptors, unknown
                        errno: number or null
                        reason: the whole sentence; "" if available
                        remedies: list of {where, do}
                        seccomp_rules: null, or what to add to a profile
    features            present, missing: names of what the loop needs
                        optional: names of what it can do without and is there
                        absent: list of {name, costs} of what is not
    kernel              release, machine
                        warnings: list of {kernels, what, here, reference}
    limits              memlock_bytes: number; null for no limit
                        memlock_rings: io_uring loops that it has room for, all of
                            this user's together; null for no limit
                        nofile, nofile_max: open descriptors of a process
                        io_uring_disabled: the sysctl; null where there is none
                        seccomp_filter: bool
    auto                engine: what new_event_loop("auto") makes; reason
    start               engine, pinned, reason: what `aioadapt serve` would start on;
                            engine is null where it would not start
    thresholds          path; calibrated: bool; error: why they cannot be read, or ""
    python              version, implementation, gil: bool
    liburing            version; null where it is linked in and does not tell
"""

import asyncio
import os
import platform
import re
import resource
import sys
from typing import Any

from aioadapt import AioadaptError, UringEventLoop, UringUnavailableError
from aioadapt._kernel.features import findings
from aioadapt._kernel.findings import REQUIRED
from aioadapt._kernel.refusal import (
    CAP_IPC_LOCK,
    Cause,
    Refusal,
    Surroundings,
    explain,
    explain_findings,
    look_around,
)

from .kernels import known_bad
from .remedies import SECCOMP_RULES, remedies

FORMAT = 1

# Measured on Linux 6.18: of 1 MiB 11 loops had their full ring, of 2 MiB 22.
RING_LOCKS_BYTES = 92 << 10

# What the loop can do without, and what that costs.
OPTIONAL = {
    "defer_taskrun": "completions interrupt the loop's Python instead of waiting for "
    "its next iteration (Linux 6.1)",
    "single_issuer": "a lock for each submission that nobody contends for (Linux 6.0)",
    "submit_all": "a batch with a wrong entry is submitted in parts (Linux 5.18)",
    "r_disabled": "the ring's owner is fixed at its first use and not before "
    "(Linux 5.10)",
    "clamp": "a ring larger than the kernel allows is an error (Linux 5.6)",
    "cqsize": "the completion queue is twice the submission queue, so bursts "
    "overflow it earlier (Linux 5.5)",
    "cancel_fd": "one cancel for each operation of a descriptor (Linux 5.19)",
    "min_timeout": "nothing today: waiting for a batch is not used (Linux 6.12)",
    "recvsend_bundle": "nothing today: bundles are not used (Linux 6.10)",
    "send_zc": "nothing today: zero-copy send is not used (Linux 6.0)",
}


def examine() -> dict[str, Any]:
    """All of it, as the module's text describes."""
    around = look_around()
    refusal = _refusal(around)
    return {
        "format": FORMAT,
        "io_uring": _io_uring(refusal),
        "features": _features(),
        "kernel": _kernel(),
        "limits": _limits(around),
        "auto": _auto(),
        "start": _start(),
        "thresholds": _thresholds(),
        "python": _python(),
        "liburing": _liburing(),
    }


def _refusal(around: Surroundings) -> Refusal | None:
    """Why not, if not: first a small ring's answer, then a whole loop's."""
    refusal = explain_findings(findings(), around)
    if refusal is not None:
        return refusal
    try:
        loop = UringEventLoop()
        try:
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()
    except UringUnavailableError as error:
        number = error.errno or 0
        cause = explain(number, "run a loop on io_uring", around).cause
        return Refusal(cause, number, error.strerror or str(error))
    return None


def _io_uring(refusal: Refusal | None) -> dict[str, Any]:
    if refusal is None:
        return {
            "available": True,
            "cause": None,
            "errno": None,
            "reason": "",
            "remedies": [],
            "seccomp_rules": None,
        }
    filtered = refusal.cause is Cause.SECCOMP
    return {
        "available": False,
        "cause": refusal.cause.name.lower(),
        "errno": refusal.errno,
        "reason": refusal.reason,
        "remedies": [remedy._asdict() for remedy in remedies(refusal.cause)],
        "seccomp_rules": SECCOMP_RULES if filtered else None,
    }


def _features() -> dict[str, Any]:
    found = findings()
    return {
        "present": [name for name in REQUIRED if name in found.features],
        "missing": list(found.missing),
        "optional": [name for name in OPTIONAL if name in found.features],
        "absent": [
            {"name": name, "costs": costs}
            for name, costs in OPTIONAL.items()
            if name not in found.features
        ],
    }


def _kernel() -> dict[str, Any]:
    release = os.uname().release
    return {
        "release": release,
        "machine": os.uname().machine,
        "warnings": [
            {
                "kernels": bad.kernels,
                "what": bad.what,
                "here": bad.here,
                "reference": bad.reference,
            }
            for bad in known_bad(release)
        ],
    }


def _limits(around: Surroundings) -> dict[str, Any]:
    unlimited = around.memlock_bytes is None or around.has(CAP_IPC_LOCK)
    locked = None if unlimited else around.memlock_bytes
    nofile, nofile_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "memlock_bytes": locked,
        "memlock_rings": None if locked is None else locked // RING_LOCKS_BYTES,
        "nofile": nofile,
        "nofile_max": nofile_max,
        "io_uring_disabled": around.uring_disabled,
        "seccomp_filter": around.seccomp_filter,
    }


def _auto() -> dict[str, Any]:
    """By the same rule as new_event_loop, which does not try a whole loop."""
    refusal = explain_findings(findings())
    if refusal is None:
        return {"engine": "uring", "reason": "io_uring can be used"}
    return {"engine": "epoll", "reason": refusal.reason}


def _start() -> dict[str, Any]:
    from aioadapt.control import calibration
    from aioadapt.control.start import choose_start, gains_somewhere

    try:
        # As AdaptiveServer does; thresholds that cannot be used keep it from
        # starting.
        start = choose_start(gains=gains_somewhere(calibration.load()))
    except AioadaptError as error:
        return {"engine": None, "pinned": False, "reason": str(error)}
    return {"engine": start.engine, "pinned": start.pinned, "reason": start.reason}


def _thresholds() -> dict[str, Any]:
    from aioadapt.control import calibration

    path = str(calibration.thresholds_path())
    try:
        stored = calibration.load()
    except AioadaptError as error:
        return {"path": path, "calibrated": False, "error": str(error)}
    return {"path": path, "calibrated": stored is not None, "error": ""}


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def _liburing() -> str | None:
    """By the name of the shared library, if one has been loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        match = re.search(r"/liburing\.so\.([\d.]+)$", maps.read(), re.MULTILINE)
    return match[1] if match else None
