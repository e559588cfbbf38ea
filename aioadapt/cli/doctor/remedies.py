"""What to do for each cause for which the kernel refuses io_uring."""

from typing import Any, NamedTuple

from aioadapt._kernel.refusal import ENOUGH_MEMLOCK_BYTES, Cause

SYSTEM_CALLS = ["io_uring_setup", "io_uring_enter", "io_uring_register"]

#: An additional entry for "syscalls" in a seccomp profile of Docker, containerd,
#: Podman or CRI-O; they share the format.
SECCOMP_RULES: dict[str, Any] = {
    "syscalls": [{"names": SYSTEM_CALLS, "action": "SCMP_ACT_ALLOW"}]
}


class Remedy(NamedTuple):
    """One remedy, and where it applies."""

    where: str
    do: str


_DEFAULT_PROFILE = (
    "https://github.com/moby/profiles/blob/main/seccomp/default.json for Docker, "
    "/usr/share/containers/seccomp.json for Podman"
)

_KIB = ENOUGH_MEMLOCK_BYTES >> 10

_REMEDIES: dict[Cause, tuple[Remedy, ...]] = {
    Cause.SECCOMP: (
        Remedy(
            "profile",
            "copy the container engine's default profile to profile.json, and add the "
            f'entry below to its "syscalls" ({_DEFAULT_PROFILE})',
        ),
        Remedy("docker", "docker run --security-opt seccomp=profile.json IMAGE"),
        Remedy("podman", "podman run --security-opt seccomp=profile.json IMAGE"),
        Remedy(
            "kubernetes",
            "put profile.json into /var/lib/kubelet/seccomp on each node, and set in "
            "the pod: securityContext: {seccompProfile: {type: Localhost, "
            "localhostProfile: profile.json}}",
        ),
        Remedy(
            "systemd",
            f"add to the unit's [Service]: SystemCallFilter={' '.join(SYSTEM_CALLS)}",
        ),
        Remedy(
            "for a test",
            "docker run --security-opt seccomp=unconfined IMAGE (or podman run): this "
            "disables the filter, so not for production",
        ),
    ),
    Cause.SYSCTL: (
        Remedy("now", "sysctl -w kernel.io_uring_disabled=0"),
        Remedy(
            "permanently",
            "echo kernel.io_uring_disabled=0 > /etc/sysctl.d/60-io_uring.conf",
        ),
        Remedy(
            "for one group",
            "sysctl -w kernel.io_uring_disabled=1 kernel.io_uring_group=GID, and run "
            "the server in that group",
        ),
        Remedy(
            "containers",
            "set it on the host or the node: the sysctl applies to the whole kernel, "
            "not to a container",
        ),
    ),
    Cause.MEMLOCK: (
        Remedy("shell", f"ulimit -l {_KIB}"),
        Remedy("systemd", f"LimitMEMLOCK={_KIB}K in the unit's [Service]"),
        Remedy("docker", f"docker run --ulimit memlock={ENOUGH_MEMLOCK_BYTES} IMAGE"),
        Remedy("podman", f"podman run --ulimit memlock={ENOUGH_MEMLOCK_BYTES} IMAGE"),
        Remedy(
            "kubernetes",
            "pods inherit the limit of the container runtime: set LimitMEMLOCK= in its "
            "systemd unit on each node, or add the capability IPC_LOCK to the pod",
        ),
        Remedy(
            "permanently",
            f'"USER - memlock {_KIB}" in /etc/security/limits.conf, then log in again',
        ),
    ),
    Cause.SECURITY_MODULE: (
        Remedy("SELinux", "ausearch -m avc -ts recent | grep io_uring"),
        Remedy("any module", "journalctl -k | grep -i denied"),
    ),
    Cause.NO_IO_URING: (
        Remedy("kernel", "run on Linux 6.1 or later"),
        Remedy(
            "sandbox",
            "gVisor, AWS Lambda and the first generation of Cloud Run have no io_uring; "
            "use another runtime (runc, or the second generation of Cloud Run)",
        ),
    ),
    Cause.TOO_OLD: (Remedy("kernel", "run on Linux 6.1 or later"),),
    Cause.MEMORY: (
        Remedy("control group", "raise memory.max of the service or the container"),
    ),
    Cause.DESCRIPTORS: (
        Remedy("shell", "ulimit -n 65536"),
        Remedy("systemd", "LimitNOFILE=65536 in the unit's [Service]"),
    ),
    Cause.UNKNOWN: (
        Remedy("report", "please report this with the output of this command"),
    ),
}


def remedies(cause: Cause) -> tuple[Remedy, ...]:
    """The remedies, each with where it applies; the first that fits is enough."""
    return _REMEDIES[cause]
