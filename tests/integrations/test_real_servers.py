"""The tests' real servers: skipped if not installed, and never left running."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from integrations.real_servers import program, running
from integrations.redis_server import running_redis

STARTS_ONE_AND_HANGS = """
import sys
sys.path.insert(0, {tests!r})
import trustme
from integrations.redis_server import running_redis

with running_redis(trustme.CA()) as server:
    print(server.port, server.socket.parent, flush=True)
    sys.stdin.read()
"""


def test_a_missing_program_is_a_skip_that_names_the_package() -> None:
    with pytest.raises(pytest.skip.Exception, match="Debian's package is something"):
        program("no-such-server", package="something")


def test_what_a_server_said_is_told_if_it_ends_too_early() -> None:
    command = [sys.executable, "-c", "print('no room')"]

    with (
        pytest.raises(AssertionError, match="no room"),
        running(*command, ready_when="up"),
    ):
        pass


def test_a_server_ends_when_its_tests_are_killed() -> None:
    """pytest-timeout kills a hanging test like this, without clean-up."""
    program("redis-server", "valkey-server", package="redis-server")
    code = STARTS_ONE_AND_HANGS.format(tests=str(Path(__file__).parents[1]))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        with socket.create_connection(("127.0.0.1", port), timeout=15) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"

            process.kill()

            assert client.recv(100) == b""
    shutil.rmtree(folder)  # the killed tests could not


def test_a_server_is_gone_after_its_block(authority: trustme.CA) -> None:
    with running_redis(authority) as server:
        address = ("127.0.0.1", server.port)
        socket.create_connection(address, timeout=15).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=15)
