"""The diagnosis as text."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 88


def lines(diagnosis: dict[str, Any]) -> Iterator[str]:
    """The lines to print for *diagnosis*, a result of :func:`.examine.examine`."""
    yield from _verdict(diagnosis["io_uring"])
    yield ""
    yield from _choices(diagnosis)
    yield from _entry("thresholds", _thresholds(diagnosis["thresholds"]))
    yield ""
    yield from _features(diagnosis["features"], diagnosis["io_uring"])
    yield from _kernel(diagnosis["kernel"])
    yield from _limits(diagnosis["limits"])
    python = diagnosis["python"]
    threads = "with the GIL" if python["gil"] else "free-threaded"
    yield from _entry(
        "Python", f"{python['implementation']} {python['version']}, {threads}"
    )
    yield from _entry(
        "liburing", diagnosis["liburing"] or "statically linked, version unknown"
    )


def _verdict(uring: dict[str, Any]) -> Iterator[str]:
    if uring["available"]:
        yield "io_uring can be used here."
        return
    yield f"io_uring cannot be used here: {uring['cause'].replace('_', ' ')}."
    yield from textwrap.wrap(uring["reason"], WIDTH)
    yield ""
    yield "What to do:"
    for remedy in uring["remedies"]:
        yield from _entry("  " + remedy["where"], remedy["do"])
    if uring["seccomp_rules"] is not None:
        yield ""
        yield from json.dumps(uring["seccomp_rules"], indent=2).splitlines()


def _thresholds(thresholds: dict[str, Any]) -> str:
    if thresholds["error"]:
        return str(thresholds["error"])
    if thresholds["calibrated"]:
        return f"measured on this machine: {thresholds['path']}"
    return "built-in defaults; run `aioadapt calibrate` to measure this machine"


def _choices(diagnosis: dict[str, Any]) -> Iterator[str]:
    auto, start = diagnosis["auto"], diagnosis["start"]
    above = diagnosis["io_uring"]["reason"]

    def why(choice: dict[str, Any]) -> str:
        reason: str = choice["reason"]
        return reason.replace(above, "see above") if above else reason

    yield from _entry("auto", f"{auto['engine']}: {why(auto)}")
    if start["engine"] is None:
        yield from _entry("serve", f"would not start: {why(start)}")
    else:
        stays = "stays on" if start["pinned"] else "starts on"
        yield from _entry("serve", f"{stays} {start['engine']}: {why(start)}")


def _features(features: dict[str, Any], uring: dict[str, Any]) -> Iterator[str]:
    if not features["present"] and not uring["available"]:
        yield from _entry("features", "could not be probed")
        return
    yield from _entry("features", ", ".join(features["present"]) or "none")
    if features["missing"]:
        yield from _entry("missing", ", ".join(features["missing"]))
    if features["optional"]:
        yield from _entry("optional", ", ".join(features["optional"]))
    for absent in features["absent"]:
        yield from _entry("", f"without {absent['name']}: {absent['costs']}")


def _kernel(kernel: dict[str, Any]) -> Iterator[str]:
    yield from _entry("kernel", f"{kernel['release']} {kernel['machine']}")
    for warning in kernel["warnings"]:
        text = f"reported bug in {warning['kernels']}: {warning['what']}; {warning['here']}"
        yield from _entry("", text)
        yield from _entry("", warning["reference"])


def _limits(limits: dict[str, Any]) -> Iterator[str]:
    locked = limits["memlock_bytes"]
    if locked is None:
        memlock = "no limit on locked memory for rings"
    else:
        memlock = (
            f"RLIMIT_MEMLOCK {locked >> 10:,} KiB: enough for about "
            f"{limits['memlock_rings']:,} io_uring loops of this user"
        )
    yield from _entry("limits", memlock)
    text = f"RLIMIT_NOFILE {limits['nofile']:,} (hard limit {limits['nofile_max']:,})"
    yield from _entry("", text)
    disabled = limits["io_uring_disabled"]
    yield from _entry(
        "",
        "the sysctl kernel.io_uring_disabled does not exist"
        if disabled is None
        else f"kernel.io_uring_disabled = {disabled}",
    )
    yield from _entry(
        "",
        "a seccomp filter is active"
        if limits["seccomp_filter"]
        else "no seccomp filter",
    )


def _entry(name: str, text: str) -> list[str]:
    # Commands are meant to be copied, so words are never broken, not even at hyphens.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{name:<16}",
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )
