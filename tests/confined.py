"""Runs Python code in a restricted process; a script for subprocesses.

    python confined.py '{"deny": [["io_uring_setup", 1, null]]}' 'print(...)'

``deny`` installs a real seccomp filter: each entry is a system call, the errno
it returns and the only second argument for which it does (null: all of them).
``memlock_bytes`` and ``uid`` set RLIMIT_MEMLOCK and the user, in this order.
aioadapt and the modules listed in ``imports`` are imported first, because the
restricted process may not be able to read their files.
"""

import ctypes
import importlib
import json
import os
import resource
import struct
import subprocess
import sys
from typing import Any

SYSTEM_CALLS = {
    # New enough to have the same numbers on all architectures.
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    # The others have the number of arm64.
    "epoll_ctl": 233 if os.uname().machine == "x86_64" else 21,
}

NUMBER_OFFSET = 0  # in struct seccomp_data
SECOND_ARGUMENT_OFFSET = 24 if sys.byteorder == "little" else 28

LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2


def run_confined(code: str, **limits: Any) -> str:
    """What *code* prints in a separate process under these limits."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(limits), code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def install_filter(rules: list[tuple[str, int, int | None]]) -> None:
    program = b""

    def add(code: int, value: int, if_equal: int = 0, if_not: int = 0) -> None:
        nonlocal program
        program += struct.pack("HBBI", code, if_equal, if_not, value)

    for name, errno, argument in rules:
        add(LOAD_WORD, NUMBER_OFFSET)
        if argument is None:
            add(JUMP_IF_EQUAL, SYSTEM_CALLS[name], 0, 1)
        else:
            add(JUMP_IF_EQUAL, SYSTEM_CALLS[name], 0, 3)
            add(LOAD_WORD, SECOND_ARGUMENT_OFFSET)
            add(JUMP_IF_EQUAL, argument, 0, 1)
        add(RETURN, ERRNO | errno)
    add(RETURN, ALLOW)

    instructions = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    argument_of_filter = ctypes.create_string_buffer(fprog, len(fprog))
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (
            PR_SET_SECCOMP,
            SECCOMP_MODE_FILTER,
            ctypes.addressof(argument_of_filter),
            0,
            0,
        ),
    ):
        if prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "cannot install a seccomp filter")


def main(limits: dict[str, Any], code: str) -> None:
    import aioadapt

    for name in aioadapt.__all__:
        getattr(aioadapt, name)  # while its file can still be read
    for module in limits.get("imports", ()):
        importlib.import_module(module)
    if "memlock_bytes" in limits:
        limit = limits["memlock_bytes"]
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
    if "uid" in limits:
        os.setgroups([])
        os.setresgid(*[limits["uid"]] * 3)
        os.setresuid(*[limits["uid"]] * 3)
    if "deny" in limits:
        install_filter(limits["deny"])
    exec(code, {"__name__": "__main__", "aioadapt": aioadapt})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
