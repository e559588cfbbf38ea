"""doctor reports whether io_uring can be used, under the real limits of processes."""

import errno
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from confined import run_confined
from programs import run_python

from aioadapt import Thresholds, uring_support
from aioadapt._kernel.findings import REQUIRED, Findings
from aioadapt._kernel.refusal import Cause, Surroundings
from aioadapt.cli import main as door
from aioadapt.cli.doctor import examine as examining
from aioadapt.cli.doctor import kernels, words
from aioadapt.cli.doctor.remedies import SYSTEM_CALLS, remedies
from aioadapt.control import calibration

needs_io_uring = pytest.mark.skipif(
    not uring_support().available, reason="no io_uring here"
)


only_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become an ordinary user"
)

# The limit counts all rings of a user, so this must be a user without any.
NOBODYS_UID = 10_000_000 + os.getpid()

# Imported first, because another user may have no access to these files.
EXAMINING = [
    "aioadapt.cli.doctor.examine",
    "aioadapt.control.calibration",
    "aioadapt.control.start",
]


def diagnose(**limits: Any) -> dict[str, Any]:
    """What doctor --json prints in a separate process under these limits."""
    code = (
        "from aioadapt.cli.main import main\n"
        "status = main(['doctor', '--json'])\n"
        "import json; print(json.dumps(status))\n"
    )
    printed = run_confined(code, **limits)
    text, _, status = printed.rpartition("\n")
    diagnosis: dict[str, Any] = json.loads(text)
    assert json.loads(status) == (0 if diagnosis["io_uring"]["available"] else 1)
    return diagnosis


def test_the_exit_status_says_whether_io_uring_can_be_used() -> None:
    ended = run_python("-m", "aioadapt", "doctor", "--json")

    available = json.loads(ended.out)["io_uring"]["available"]
    assert available is uring_support().available
    assert ended.status == (0 if available else 1)
    assert ended.err == ""


def test_the_json_fields_stay() -> None:
    """Programs read them: removing a name is a format change."""
    diagnosis = examining.examine()

    assert diagnosis["format"] == 1
    fields = {
        "io_uring": {
            "available", "cause", "errno", "reason", "remedies", "seccomp_rules",
        },
        "features": {"present", "missing", "optional", "absent"},
        "kernel": {"release", "machine", "warnings"},
        "limits": {
            "memlock_bytes", "memlock_rings", "nofile", "nofile_max",
            "io_uring_disabled", "seccomp_filter",
        },
        "auto": {"engine", "reason"},
        "start": {"engine", "pinned", "reason"},
        "thresholds": {"path", "calibrated", "error"},
        "python": {"version", "implementation", "gil"},
    }  # fmt: skip
    for name, names in fields.items():
        assert set(diagnosis[name]) == names
        # The module's docstring documents each of them.
        for field in names:
            assert field in str(examining.__doc__)
    assert set(diagnosis) == {*fields, "format", "liburing"}


@needs_io_uring
def test_a_seccomp_filter_is_named_with_the_rules_to_add() -> None:
    diagnosis = diagnose(deny=[["io_uring_setup", errno.EPERM, None]])

    uring = diagnosis["io_uring"]
    assert uring["cause"] == "seccomp"
    assert uring["errno"] == errno.EPERM
    assert uring["seccomp_rules"] == {
        "syscalls": [
            {
                "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
                "action": "SCMP_ACT_ALLOW",
            }
        ]
    }
    assert {"docker", "podman", "kubernetes", "systemd"} <= {
        remedy["where"] for remedy in uring["remedies"]
    }
    assert diagnosis["limits"]["seccomp_filter"] is True
    assert diagnosis["auto"]["engine"] == "epoll"
    assert diagnosis["start"]["engine"] == "epoll"
    assert diagnosis["start"]["pinned"] is True


@needs_io_uring
def test_a_filter_that_plays_an_old_kernel_is_seen_through() -> None:
    diagnosis = diagnose(deny=[["io_uring_setup", errno.ENOSYS, None]])

    if diagnosis["limits"]["io_uring_disabled"] is None:
        pytest.skip("only a kernel with the sysctl tells the two apart")
    assert diagnosis["io_uring"]["cause"] == "seccomp"


@only_root
@needs_io_uring
def test_too_little_memory_to_lock_is_named_with_what_to_raise_it_to() -> None:
    code = "import json; from aioadapt.cli.doctor.examine import examine\n"
    code += "print(json.dumps(examine()))"
    printed = run_confined(code, memlock_bytes=0, uid=NOBODYS_UID, imports=EXAMINING)
    diagnosis = json.loads(printed)

    assert diagnosis["io_uring"]["cause"] == "memlock"
    assert diagnosis["limits"]["memlock_bytes"] == 0
    assert diagnosis["limits"]["memlock_rings"] == 0
    commands = [remedy["do"] for remedy in diagnosis["io_uring"]["remedies"]]
    assert "ulimit -l 8192" in commands


@only_root
@needs_io_uring
def test_the_number_of_loops_that_memlock_has_room_for_is_not_promised_in_vain() -> (
    None
):
    """That user can run as many at once as doctor says."""
    code = """
import asyncio, json
from aioadapt.cli.doctor.examine import examine
rings = examine()["limits"]["memlock_rings"]
loops = []
for _ in range(rings):
    loop = aioadapt.UringEventLoop()
    loop.run_until_complete(asyncio.sleep(0))
    loops.append(loop)
for loop in loops:
    loop.close()
print(rings)
"""
    rings = int(
        run_confined(code, memlock_bytes=1 << 20, uid=NOBODYS_UID, imports=EXAMINING)
    )

    assert rings == 11


def test_switched_off_by_sysctl_is_named_with_how_to_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sysctl affects the whole machine, so its value is emulated."""
    refused = Findings(frozenset(), 0, errno.EPERM, "set up an io_uring of 8 entries")
    monkeypatch.setattr(examining, "findings", lambda: refused)
    monkeypatch.setattr(
        examining, "look_around", lambda: Surroundings(uring_disabled=2)
    )

    diagnosis = examining.examine()

    assert diagnosis["io_uring"]["cause"] == "sysctl"
    text = "\n".join(words.lines(diagnosis))
    assert "io_uring cannot be used here: sysctl." in text
    assert "sysctl -w kernel.io_uring_disabled=0" in text
    assert "kernel.io_uring_disabled = 2" in text
    assert diagnosis["io_uring"]["seccomp_rules"] is None


def test_an_optional_feature_that_is_not_there_is_told_with_its_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Findings(frozenset(REQUIRED) | {"clamp"})
    monkeypatch.setattr(examining, "findings", lambda: found)

    features = examining.examine()["features"]

    assert features["present"] == list(REQUIRED)
    assert features["missing"] == []
    assert features["optional"] == ["clamp"]
    (defer,) = [f for f in features["absent"] if f["name"] == "defer_taskrun"]
    assert "Linux 6.1" in defer["costs"]


@needs_io_uring
def test_every_feature_that_the_probe_finds_is_known_here() -> None:
    assert uring_support().features <= {*REQUIRED, *examining.OPTIONAL}


def test_a_wrong_start_in_the_environment_is_told_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOADAPT_START", "kqueue")

    start = examining.examine()["start"]

    assert start["engine"] is None
    assert "kqueue" in start["reason"]
    assert "$AIOADAPT_START" in start["reason"]


def test_broken_thresholds_are_told_with_their_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text("{")
    monkeypatch.setenv("AIOADAPT_THRESHOLDS", str(path))

    diagnosis = examining.examine()

    thresholds, start = diagnosis["thresholds"], diagnosis["start"]
    assert thresholds["calibrated"] is False
    assert str(path) in thresholds["error"]
    # A server does not start with invalid thresholds.
    assert start["engine"] is None
    assert str(path) in start["reason"]


@needs_io_uring
def test_a_start_goes_by_the_thresholds_that_were_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = calibration.save(Thresholds(up_connections=None), tmp_path / "thresholds")
    monkeypatch.setenv("AIOADAPT_THRESHOLDS", str(path))
    monkeypatch.delenv("AIOADAPT_START", raising=False)

    start = examining.examine()["start"]

    assert (start["engine"], start["pinned"]) == ("epoll", True)
    assert "does not benefit" in start["reason"]


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_says_what_to_do(cause: Cause) -> None:
    for remedy in remedies(cause):
        assert remedy.where
        assert remedy.do
    assert remedies(cause)


def test_what_the_rules_allow_is_what_the_loop_calls() -> None:
    assert set(SYSTEM_CALLS) == {
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
    }


@pytest.mark.parametrize(
    ("release", "issues"),
    [
        ("6.0.0", [984]),
        ("6.1.7-amd64", [984, 778]),
        ("6.1.8", [984]),
        ("6.4.16", [984]),
        ("6.5.0", []),
        ("6.6.0", []),
        ("6.6.1", [1062]),
        ("6.7.12-200.fc39.x86_64", [1062]),
        ("6.8.0-rc3", [1062]),
        ("6.8.0-rc4", []),
        ("6.8.0-31-generic", []),
        ("6.11.5", [1375]),
        ("6.12.1+deb13", [1530]),
        ("6.13.10", []),
        ("6.13.11", [1409]),
        ("6.18.0", [1409]),
        ("7.0", [1409]),
        ("unknown", []),
    ],
)
def test_what_is_reported_of_a_kernel_goes_by_its_release(
    release: str, issues: list[int]
) -> None:
    found = [
        int(bad.reference.rpartition("/")[2]) for bad in kernels.known_bad(release)
    ]

    assert found == issues


def test_a_known_bad_kernel_is_a_warning_and_decides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = examining.examine()
    monkeypatch.setattr(examining, "known_bad", lambda _: kernels.known_bad("6.6.1"))

    diagnosis = examining.examine()

    (warning,) = diagnosis["kernel"]["warnings"]
    assert warning["reference"].endswith("/liburing/issues/1062")
    assert "DEFER_TASKRUN" in "\n".join(words.lines(diagnosis))
    assert diagnosis["io_uring"] == before["io_uring"]
    assert diagnosis["auto"] == before["auto"]


def test_it_needs_neither_a_server_nor_textual_nor_prometheus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("uvicorn", "httptools", "textual", "prometheus_client", "rich"):
        monkeypatch.setitem(sys.modules, name, None)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        door, "find_spec", lambda name: find_spec(name) if name == "typer" else None
    )

    assert door.main(["doctor"]) == (0 if uring_support().available else 1)
    assert "io_uring can" in capsys.readouterr().out
