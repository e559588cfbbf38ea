"""Each refusal has its own cause and a message for users."""

import errno
import resource

import pytest

from aioadapt import UringUnavailableError
from aioadapt._kernel.findings import REQUIRED, Findings
from aioadapt._kernel.refusal import (
    CAP_IPC_LOCK,
    CAP_SYS_ADMIN,
    Cause,
    Surroundings,
    explain,
    explain_findings,
    look_around,
)

SYS_ADMIN = 1 << CAP_SYS_ADMIN
IPC_LOCK = 1 << CAP_IPC_LOCK

STATUS = """\
Name:\tpython3
Uid:\t1000\t1000\t1000\t1000
Gid:\t1000\t1000\t1000\t1001
FDSize:\t64
Groups:\t4 27
CapEff:\t0000000000204000
Seccomp:\t2
Seccomp_filters:\t1
"""


def look_around_in(files: dict[str, str], memlock: int = 65536) -> Surroundings:
    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    return look_around(read, lambda: memlock)


@pytest.mark.parametrize(
    ("number", "around", "cause"),
    [
        (errno.EPERM, Surroundings(seccomp_filter=True), Cause.SECCOMP),
        (
            errno.EPERM,
            Surroundings(uring_disabled=0, seccomp_filter=True),
            Cause.SECCOMP,
        ),
        (errno.EPERM, Surroundings(uring_disabled=2), Cause.SYSCTL),
        (
            errno.EPERM,
            Surroundings(uring_disabled=2, capabilities=SYS_ADMIN),
            Cause.SYSCTL,
        ),
        (
            errno.EPERM,
            Surroundings(uring_disabled=2, seccomp_filter=True),
            Cause.SYSCTL,
        ),
        (errno.EPERM, Surroundings(uring_disabled=1), Cause.SYSCTL),
        # A capability in a container's user namespace is not enough.
        (
            errno.EPERM,
            Surroundings(uring_disabled=1, capabilities=SYS_ADMIN),
            Cause.SYSCTL,
        ),
        (
            errno.EPERM,
            Surroundings(uring_disabled=1, capabilities=SYS_ADMIN, seccomp_filter=True),
            Cause.SECCOMP,
        ),
        (
            errno.EPERM,
            Surroundings(uring_disabled=1, in_uring_group=True, seccomp_filter=True),
            Cause.SECCOMP,
        ),
        (errno.EPERM, Surroundings(uring_disabled=0), Cause.SECURITY_MODULE),
        (errno.EACCES, Surroundings(uring_disabled=0), Cause.SECURITY_MODULE),
        (errno.ENOSYS, Surroundings(), Cause.NO_IO_URING),
        (errno.ENOSYS, Surroundings(seccomp_filter=True), Cause.NO_IO_URING),
        (
            errno.ENOSYS,
            Surroundings(uring_disabled=0, seccomp_filter=True),
            Cause.SECCOMP,
        ),
        (errno.ENOMEM, Surroundings(memlock_bytes=65536), Cause.MEMLOCK),
        (errno.ENOMEM, Surroundings(memlock_bytes=None), Cause.MEMORY),
        (
            errno.ENOMEM,
            Surroundings(memlock_bytes=65536, capabilities=IPC_LOCK),
            Cause.MEMORY,
        ),
        (errno.EMFILE, Surroundings(), Cause.DESCRIPTORS),
        (errno.ENFILE, Surroundings(), Cause.DESCRIPTORS),
        (errno.EBADF, Surroundings(), Cause.UNKNOWN),
    ],
)
def test_a_refusal_is_told_by_errno_and_surroundings(
    number: int, around: Surroundings, cause: Cause
) -> None:
    refusal = explain(number, "set up an io_uring of 8 entries", around)

    assert refusal.cause is cause
    assert refusal.errno == number


def test_the_sysctl_refusal_names_the_setting_its_value_and_what_to_do() -> None:
    around = Surroundings(uring_disabled=2, seccomp_filter=True)

    reason = explain(errno.EPERM, "set up an io_uring of 8 entries", around).reason

    assert reason == (
        "cannot set up an io_uring of 8 entries: Operation not permitted (likely "
        "cause: `sysctl kernel.io_uring_disabled` is 2: nobody may use io_uring; "
        "`sysctl -w kernel.io_uring_disabled=0` allows it; a seccomp filter is active "
        "too and may forbid it as well)"
    )


def test_the_memlock_refusal_names_the_limit_and_what_to_raise_it_to() -> None:
    around = Surroundings(memlock_bytes=65536)

    reason = explain(errno.ENOMEM, "set up an io_uring of 8 entries", around).reason

    assert "RLIMIT_MEMLOCK is 64 KiB" in reason
    assert "raise it to 8192 KiB or more: `ulimit -l 8192`" in reason


def test_an_old_kernel_is_told_what_it_lacks_first() -> None:
    lacking = frozenset(REQUIRED) - {"buffer_rings", "recv_multishot"}

    refusal = explain_findings(Findings(lacking))

    assert refusal is not None
    assert refusal.cause is Cause.TOO_OLD
    assert refusal.errno == errno.EOPNOTSUPP
    assert "lacks buffer_rings (" in refusal.reason


def test_whole_findings_are_no_refusal() -> None:
    assert explain_findings(Findings(frozenset(REQUIRED))) is None


def test_the_error_of_a_refusal_is_one_sentence_and_what_to_do() -> None:
    error = explain(
        errno.EMFILE, "set up an io_uring of 8 entries", Surroundings()
    ).error()

    assert isinstance(error, UringUnavailableError)
    assert error.errno == errno.EMFILE
    assert str(error) == (
        f"[Errno {errno.EMFILE}] cannot set up an io_uring of 8 entries: Too many open "
        "files (likely cause: this process has reached RLIMIT_NOFILE; raise it "
        "(`ulimit -n`) or close some files). aioadapt.EpollEventLoop works without it"
    )


def test_what_bears_on_a_refusal_is_read_from_proc() -> None:
    around = look_around_in(
        {
            "/proc/sys/kernel/io_uring_disabled": "1\n",
            "/proc/sys/kernel/io_uring_group": "27\n",
            "/proc/thread-self/status": STATUS,
        }
    )

    assert around == Surroundings(
        uring_disabled=1,
        in_uring_group=True,
        seccomp_filter=True,
        capabilities=SYS_ADMIN | IPC_LOCK,
        memlock_bytes=65536,
    )


@pytest.mark.parametrize(
    ("group", "belongs"),
    [
        pytest.param("1001", True, id="the group that files are opened as"),
        pytest.param("4", True, id="a supplementary group"),
        pytest.param("1000", False, id="the real group does not count"),
        pytest.param("-1", False, id="no group is named"),
    ],
)
def test_membership_in_the_uring_group_is_the_kernels_idea_of_it(
    group: str, belongs: bool
) -> None:
    around = look_around_in(
        {"/proc/sys/kernel/io_uring_group": group, "/proc/thread-self/status": STATUS}
    )

    assert around.in_uring_group is belongs


def test_without_proc_nothing_is_known_and_nothing_is_raised() -> None:
    assert look_around_in({}, resource.RLIM_INFINITY) == Surroundings()


def test_the_real_proc_can_be_read() -> None:
    around = look_around()

    assert around.uring_disabled in (None, 0, 1, 2)
