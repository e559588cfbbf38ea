"""A diagnosis for people."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 88


def lines(diagnosis: dict[str, Any]) -> Iterator[str]:
    """*diagnosis*, as :mod:`.examine` makes it, in lines to print."""
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
        "liburing", diagnosis["liburing"] or "linked in; it does not tell"
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
    return "the built-in ones; `aioadapt calibrate` measures this machine's"


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
        yield from _entry("features", "none could be tried")
        return
    yield from _entry("features", ", ".join(features["present"]) or "none")
    if features["missing"]:
        yield from _entry("needed", ", ".join(features["missing"]) + ": not there")
    if features["optional"]:
        yield from _entry("optional", ", ".join(features["optional"]))
    for absent in features["absent"]:
        yield from _entry("", f"without {absent['name']}: {absent['costs']}")


def _kernel(kernel: dict[str, Any]) -> Iterator[str]:
    yield from _entry("kernel", f"{kernel['release']} {kernel['machine']}")
    for warning in kernel["warnings"]:
        text = f"reported of {warning['kernels']}: {warning['what']}. {warning['here']}"
        yield from _entry("", text)
        yield from _entry("", warning["reference"])


def _limits(limits: dict[str, Any]) -> Iterator[str]:
    locked = limits["memlock_bytes"]
    if locked is None:
        memlock = "no limit for memory of rings"
    else:
        memlock = (
            f"RLIMIT_MEMLOCK {locked >> 10:,} KiB: room for about "
            f"{limits['memlock_rings']:,} io_uring loops of this user"
        )
    yield from _entry("limits", memlock)
    text = f"RLIMIT_NOFILE {limits['nofile']:,}, of at most {limits['nofile_max']:,}"
    yield from _entry("", text)
    disabled = limits["io_uring_disabled"]
    yield from _entry(
        "",
        "no sysctl kernel.io_uring_disabled here"
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
    # Commands are to be copied: no word is broken, and nothing after a hyphen.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{name:<16}",
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )
