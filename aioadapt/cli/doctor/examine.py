"""Examines this machine: the data that ``aioadapt doctor --json`` prints.

The fields below are stable.  ``format`` is incremented when one of them is removed
or changes its meaning; new ones may be added at any time.

    format              1
    io_uring            available: bool
                        cause: null, or one of seccomp, sysctl, security_module,
                            no_io_uring, too_old, memlock, memory, descriptors, unknown
                        errno: number or null
                        reason: a complete sentence; "" if available
                        remedies: list of {where, do}
                        seccomp_rules: null, or the entry to add to a profile
    features            present, missing: names of the features that the loop needs
                        optional: names of the available optional features
                        absent: list of {name, costs} of the unavailable ones
    kernel              release, machine
                        warnings: list of {kernels, what, here, reference}
    limits              memlock_bytes: number; null for no limit
                        memlock_rings: number of io_uring loops that fit into it,
                            over all processes of this user; null for no limit
                        nofile, nofile_max: open descriptors per process
                        io_uring_disabled: the sysctl; null if it does not exist
                        seccomp_filter: bool
    auto                engine: what new_event_loop("auto") creates; reason
    start               engine, pinned, reason: what `aioadapt serve` would start on;
                            engine is null if it would not start
    thresholds          path; calibrated: bool; error: why they cannot be read, or ""
    python              version, implementation, gil: bool
    liburing            version; null if it is linked statically, and so unknown
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

# Measured on Linux 6.18: 11 full-sized rings fit into 1 MiB, 22 into 2 MiB.
RING_LOCKS_BYTES = 92 << 10

# Features that the loop can do without, and what their absence costs.
OPTIONAL = {
    "defer_taskrun": "completions interrupt running Python code instead of waiting for "
    "the loop's next iteration (Linux 6.1)",
    "single_issuer": "an uncontended lock for each submission (Linux 6.0)",
    "submit_all": "a batch with an invalid entry is submitted in parts (Linux 5.18)",
    "r_disabled": "the ring gets its owner thread at its first use, not earlier "
    "(Linux 5.10)",
    "clamp": "a ring larger than the kernel allows is an error (Linux 5.6)",
    "cqsize": "the completion queue is only twice the submission queue, so bursts "
    "overflow it earlier (Linux 5.5)",
    "cancel_fd": "a separate cancel for each operation on a descriptor (Linux 5.19)",
    "min_timeout": "nothing today: waiting for a batch is not used (Linux 6.12)",
    "recvsend_bundle": "nothing today: bundles are not used (Linux 6.10)",
    "send_zc": "nothing today: zero-copy send is not used (Linux 6.0)",
}


def examine() -> dict[str, Any]:
    """The whole diagnosis, as described at the top of this module."""
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
    """Why io_uring cannot be used, or None; tries a small ring, then a whole loop."""
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
    """The same rule as in new_event_loop, which does not try a whole loop."""
    refusal = explain_findings(findings())
    if refusal is None:
        return {"engine": "uring", "reason": "io_uring can be used"}
    return {"engine": "epoll", "reason": refusal.reason}


def _start() -> dict[str, Any]:
    from aioadapt.control import calibration
    from aioadapt.control.start import choose_start, gains_somewhere

    try:
        # As in AdaptiveServer, which does not start with invalid thresholds.
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
    """The version in the name of the shared library, if one is loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        match = re.search(r"/liburing\.so\.([\d.]+)$", maps.read(), re.MULTILINE)
    return match[1] if match else None
