"""Which engine a server starts on, and why."""

import errno

import pytest

from aioadapt import AioadaptError, UringUnavailableError, WorkloadHint
from aioadapt._kernel.refusal import Cause, Refusal
from aioadapt.control import start as start_module
from aioadapt.control.start import Start, choose_start

REFUSED = Refusal(Cause.SECCOMP, errno.EPERM, "cannot set up an io_uring (seccomp)")
SHORT = Refusal(Cause.MEMORY, errno.ENOMEM, "cannot set up an io_uring (memory)")


@pytest.fixture
def refusal(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Refusal | None:
    found: Refusal | None = getattr(request, "param", None)
    monkeypatch.setattr(start_module, "uring_refusal", lambda: found)
    return found


HIGH = WorkloadHint.HIGH_CONCURRENCY
LARGE = WorkloadHint.LARGE_PAYLOADS


@pytest.mark.usefixtures("refusal")
@pytest.mark.parametrize(
    ("named", "environment", "hint", "gains", "expected"),
    [
        (None, None, None, True, ("epoll", False, "no workload hint")),
        ("auto", None, None, True, ("epoll", False, "no workload hint")),
        (None, None, HIGH, True, ("uring", False, "workload hint: many concurrent")),
        (None, None, LARGE, True, ("epoll", False, "workload hint: large requests")),
        (None, None, HIGH, False, ("epoll", True, "the protocol does not benefit")),
        ("epoll", None, HIGH, True, ("epoll", True, "set by the `start` argument")),
        ("uring", None, LARGE, False, ("uring", True, "set by the `start` argument")),
        # The environment overrides, even back to a free choice.
        ("uring", "epoll", HIGH, True, ("epoll", True, "$AIOADAPT_START")),
        ("epoll", "uring", None, True, ("uring", True, "$AIOADAPT_START")),
        ("epoll", "auto", HIGH, True, ("uring", False, "workload hint")),
        ("uring", "", None, True, ("uring", True, "set by the `start` argument")),
    ],
)
def test_where_both_can_be_had(
    named: str | None,
    environment: str | None,
    hint: WorkloadHint | None,
    gains: bool,
    expected: tuple[str, bool, str],
) -> None:
    environ = {} if environment is None else {"AIOADAPT_START": environment}

    start = choose_start(start=named, hint=hint, gains=gains, environ=environ)

    assert (start.engine, start.pinned) == expected[:2]
    assert expected[2] in start.reason


@pytest.mark.parametrize(
    ("refusal", "pinned"), [(REFUSED, True), (SHORT, False)], indirect=["refusal"]
)
def test_without_io_uring_it_is_epoll_and_says_why(
    refusal: Refusal, pinned: bool
) -> None:
    """It is not pinned for a shortage, which may be over when io_uring is needed."""
    start = choose_start(hint=HIGH, environ={})

    reason = f"io_uring cannot be used: {refusal.reason}"
    assert start == Start("epoll", pinned, reason)


@pytest.mark.usefixtures("refusal")
@pytest.mark.parametrize("refusal", [REFUSED], indirect=True)
def test_asking_for_io_uring_where_there_is_none() -> None:
    for named, environ in (("uring", {}), (None, {"AIOADAPT_START": "uring"})):
        with pytest.raises(UringUnavailableError, match="seccomp"):
            choose_start(start=named, environ=environ)
    assert choose_start(start="epoll", environ={}).pinned


@pytest.mark.usefixtures("refusal")
def test_a_wrong_name_is_told_the_right_ones() -> None:
    right = "known: 'auto', 'epoll', 'uring'"
    with pytest.raises(
        AioadaptError, match=f"'kqueue' .from the .start. argument.*{right}"
    ):
        choose_start(start="kqueue", environ={})
    with pytest.raises(AioadaptError, match=f"'Epoll' .from .AIOADAPT_START.*{right}"):
        choose_start(environ={"AIOADAPT_START": "Epoll"})


def test_hints_by_their_names_on_the_command_line() -> None:
    assert WorkloadHint.HIGH_CONCURRENCY.option == "high-concurrency"
    for hint in WorkloadHint:
        assert WorkloadHint.named(hint.option) is hint
        assert WorkloadHint.named(hint.name) is hint
    with pytest.raises(AioadaptError, match="'high'; known: 'high-concurrency', 'few-"):
        WorkloadHint.named("high")


@pytest.mark.usefixtures("refusal")
def test_every_hint_starts_on_something() -> None:
    for hint in WorkloadHint:
        assert choose_start(hint=hint, environ={}).engine in ("epoll", "uring")
