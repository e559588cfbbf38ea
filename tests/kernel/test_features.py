"""The probe on a real kernel, without and with real restrictions."""

import errno
import os
import time
from pathlib import Path

import pytest
from confined import run_confined

from aioadapt._kernel.features import SETUP_FLAGS, findings, probe
from aioadapt._kernel.findings import REQUIRED, Findings

needs_uring = pytest.mark.skipif(
    bool(findings().errno or findings().missing),
    reason=f"io_uring is not to be had here: {findings()}",
)

SHOW_FINDINGS = """
from aioadapt._kernel.features import findings
found = findings()
print(found.errno, found.step, found.missing, sep="|")
"""

REGISTER_BUFFER_RING = 22


@needs_uring
def test_a_probe_sees_working_what_the_loop_needs() -> None:
    found = probe()

    assert found.errno == 0
    assert found.missing == ()
    assert set(REQUIRED) <= found.features


@needs_uring
def test_a_probe_leaves_no_descriptor_and_no_mapping() -> None:
    probe()
    descriptors = set(os.listdir("/proc/self/fd"))

    for _ in range(20):
        probe()

    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert "io_uring" not in Path("/proc/self/maps").read_text()


@needs_uring
def test_a_probe_takes_less_than_two_milliseconds() -> None:
    """The best of many, because the machine may be busy."""

    def duration_s() -> float:
        begin = time.perf_counter()
        probe()
        return time.perf_counter() - begin

    assert min(duration_s() for _ in range(20)) < 0.002


@needs_uring
def test_a_flag_that_the_kernel_does_not_know_is_given_up_alone() -> None:
    known = probe()

    found = probe((("of_tomorrow", 1 << 31), *SETUP_FLAGS))

    assert found.features == known.features
    assert found.setup_flags == known.setup_flags


@needs_uring
@pytest.mark.parametrize("given_up", range(len(SETUP_FLAGS) + 1))
def test_whatever_flags_are_given_up_the_rest_works(given_up: int) -> None:
    kept = SETUP_FLAGS[given_up:]

    found = probe(kept)

    assert found.missing == ()
    assert found.setup_flags == sum(flag for _, flag in kept)


def test_findings_are_probed_once_per_process() -> None:
    assert findings() is findings()


@needs_uring
def test_a_forked_child_probes_for_itself() -> None:
    """It may run under another seccomp filter."""
    printed = run_confined("""
import os
from aioadapt._kernel.features import findings
before = findings()
if os.fork() == 0:
    print(findings() is before, flush=True)
    os._exit(0)
os.wait()
print(findings() is before)
""")

    assert printed.split() == ["False", "True"]


@needs_uring
def test_a_shortage_of_the_moment_is_not_remembered() -> None:
    printed = run_confined("""
import resource
from aioadapt._kernel.features import findings
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
print(findings().errno)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(findings().errno)
""")

    assert printed.split() == [str(errno.EMFILE), "0"]


@needs_uring
@pytest.mark.parametrize("descriptors", range(3, 8))
def test_a_probe_that_runs_out_of_descriptors_says_so_and_closes_all(
    descriptors: int,
) -> None:
    """The first descriptor opened is the ring; two sockets follow."""
    printed = run_confined(f"""
import os, resource
from aioadapt._kernel.features import probe
opened = []
while not opened or opened[-1] < 20:
    opened.append(os.open("/dev/null", os.O_RDONLY))
for fd in range(3, {descriptors}):
    os.close(fd)
before = {{n for n in range(100) if os.path.exists(f"/proc/self/fd/{{n}}")}}
resource.setrlimit(resource.RLIMIT_NOFILE, (21, 21))
found = probe()
after = {{n for n in range(100) if os.path.exists(f"/proc/self/fd/{{n}}")}}
print(found.errno, found.missing == (), after == before)
""")

    number, is_whole, closes_all = printed.split()
    assert closes_all == "True"
    assert (number, is_whole) in {(str(errno.EMFILE), "False"), ("0", "True")}


@needs_uring
def test_a_kernel_without_buffer_rings_is_found_to_lack_them() -> None:
    """Linux before 5.19 returns EINVAL for a registration that it does not know."""
    printed = run_confined(
        SHOW_FINDINGS,
        deny=[("io_uring_register", errno.EINVAL, REGISTER_BUFFER_RING)],
    )

    assert printed == "0||('buffer_rings', 'recv_multishot')"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("io_uring_setup", "set up an io_uring of 8 entries"),
        ("io_uring_register", "enable an io_uring"),
        ("io_uring_enter", "submit to an io_uring"),
    ],
)
def test_a_denied_system_call_is_found_with_its_step(
    call: str, step: str, number: int
) -> None:
    if call != "io_uring_setup" and findings().errno:
        pytest.skip(f"io_uring is not to be had here: {findings()}")

    printed = run_confined(SHOW_FINDINGS, deny=[(call, number, None)])

    assert printed.startswith(f"{number}|{step}|")


def test_findings_say_in_words_what_they_found() -> None:
    whole = frozenset(REQUIRED)

    assert repr(Findings(whole)) == "<Findings: io_uring works>"
    assert repr(Findings(whole - {"cancel"})) == "<Findings: io_uring without cancel>"
    assert (
        repr(Findings(frozenset(), errno=errno.EPERM, step="set up an io_uring"))
        == "<Findings: cannot set up an io_uring: Operation not permitted>"
    )
