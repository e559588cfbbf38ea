"""uring_support() under real restrictions: it returns a result and never raises."""

import dataclasses
import errno
import json
import os

import pytest
from confined import run_confined

import aioadapt

SHOW_SUPPORT = """
import json
support = aioadapt.uring_support()
print(json.dumps([support.available, support.reason, sorted(support.features)]))
"""

needs_uring = pytest.mark.skipif(
    not aioadapt.uring_support().available, reason=aioadapt.uring_support().reason
)


def test_support_is_features_and_no_reason_or_a_reason() -> None:
    support = aioadapt.uring_support()

    assert support.available == (support.reason == "")
    assert not support.available or "recv_multishot" in support.features


def test_support_is_frozen() -> None:
    support = aioadapt.uring_support()

    with pytest.raises(dataclasses.FrozenInstanceError):
        support.available = True  # type: ignore[misc]


@needs_uring
def test_a_seccomp_filter_that_forbids_is_named() -> None:
    available, reason, features = json.loads(
        run_confined(SHOW_SUPPORT, deny=[("io_uring_setup", errno.EPERM, None)])
    )

    assert not available
    assert reason.startswith(
        "cannot set up an io_uring of 8 entries: Operation not permitted "
        "(likely cause: a seccomp filter forbids it"
    )
    assert features == []


@needs_uring
def test_a_seccomp_filter_that_plays_an_old_kernel_is_seen_through() -> None:
    """If the sysctl exists, the kernel has io_uring."""
    available, reason, _ = json.loads(
        run_confined(SHOW_SUPPORT, deny=[("io_uring_setup", errno.ENOSYS, None)])
    )

    assert not available
    assert "Function not implemented" in reason
    if os.path.exists("/proc/sys/kernel/io_uring_disabled"):
        assert "a seccomp filter hides it" in reason
    else:
        assert "a seccomp filter is active too" in reason


@needs_uring
def test_a_kernel_that_lacks_something_has_it_named() -> None:
    available, reason, features = json.loads(
        run_confined(SHOW_SUPPORT, deny=[("io_uring_register", errno.EINVAL, 22)])
    )

    assert not available
    assert "lacks buffer_rings" in reason
    assert "poll_multishot" in features


@needs_uring
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_a_memlock_limit_that_is_too_low_is_named_with_its_value() -> None:
    available, reason, _ = json.loads(
        run_confined(SHOW_SUPPORT, memlock_bytes=0, uid=65534)
    )

    if available:
        pytest.skip("this kernel does not count rings against RLIMIT_MEMLOCK")
    assert "Cannot allocate memory" in reason
    assert "RLIMIT_MEMLOCK is 0 KiB" in reason
    assert "raise it to 8192 KiB" in reason


@needs_uring
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_with_an_ordinary_limit_has_io_uring() -> None:
    available, reason, _ = json.loads(
        run_confined(SHOW_SUPPORT, memlock_bytes=8 << 20, uid=65534)
    )

    assert available, reason
