"""The installed PostgreSQL, with its own cluster in a temporary folder.

PostgreSQL refuses to run as root, so for root both programs run as another user.
Data may be lost if the machine crashes (``fsync=off``), which does not matter here.
"""

import os
import pwd
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trustme
from integrations.real_servers import as_user, running
from programs import a_free_port

USER = "tester"
PASSWORD = "a password, sent by SCRAM"
DATABASE = "postgres"

DOORS = ("tcp", "unix", "tls")
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass(frozen=True)
class PostgreSQL:
    """It asks for a password over TCP, but not over its Unix socket."""

    port: int
    folder: Path  # of the socket
    trust: ssl.SSLContext

    def options(self, door: str) -> dict[str, Any]:
        """Options that all clients share, to connect through one of :data:`DOORS`."""
        whom = {"port": self.port, "user": USER}
        if door == "unix":
            return {**whom, "host": str(self.folder)}
        return {**whom, "host": "127.0.0.1", "password": PASSWORD}


def programs() -> Path:
    """The folder of ``initdb`` and ``postgres``, which Debian keeps off the PATH."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    for path in sorted(installed, key=lambda path: float(path.parts[-3]), reverse=True):
        return path.parent
    pytest.skip("no PostgreSQL server here; Debian's package is postgresql")


def user_to_run_as() -> str | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("PostgreSQL does not run as root, and there is nobody else")


@contextmanager
def running_postgresql(authority: trustme.CA) -> Iterator[PostgreSQL]:
    binaries, user = programs(), user_to_run_as()
    # Not pytest's folder: only one user may read it, and its path is too long for a
    # Unix socket.
    with TemporaryDirectory(prefix="aioadapt-postgresql-") as name:
        folder = Path(name)
        data = _new_cluster(binaries, folder, user)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        key = certificate.private_key_and_cert_chain_pem.bytes()
        _write(folder / "certificate.pem", key, user)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        with a_free_port() as port:
            command = _command(binaries, folder, data, port)
            ready = "ready to accept connections"
            with running(*command, ready_when=ready, user=user):
                yield PostgreSQL(port, folder, trust)


def _new_cluster(binaries: Path, folder: Path, user: str | None) -> Path:
    if user is not None:
        shutil.chown(folder, user, user)
    _write(folder / "password", PASSWORD.encode(), user)
    done = subprocess.run(
        [
            *as_user(user),
            *(str(binaries / "initdb"), "--pgdata", str(folder / "data")),
            *("--username", USER, "--pwfile", str(folder / "password")),
            *("--auth-local=trust", "--auth-host=scram-sha-256"),
            *("--encoding=UTF8", "--no-locale", "--no-sync", "--wal-segsize=1"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "data"


def _command(binaries: Path, folder: Path, data: Path, port: int) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "ssl": "on",
        "ssl_cert_file": folder / "certificate.pem",
        "ssl_key_file": folder / "certificate.pem",
        "fsync": "off",
        "shared_buffers": "16MB",
        "max_connections": 60,
        # Log to stderr, without starting a logging process.
        "logging_collector": "off",
        "autovacuum": "off",
    }
    command = [str(binaries / "postgres"), "-D", str(data)]
    for setting, value in settings.items():
        command += ["-c", f"{setting}={value}"]
    return command


def _write(path: Path, content: bytes, user: str | None) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    if user is not None:
        shutil.chown(path, user, user)
