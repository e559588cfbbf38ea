"""The installed Redis, with nothing stored on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from integrations.real_servers import program, running
from programs import a_free_port


@dataclass(frozen=True)
class RedisServer:
    port: int
    tls_port: int
    socket: Path
    trust: Path
    """The certificate of who vouches for the server."""


@contextmanager
def running_redis(authority: trustme.CA) -> Iterator[RedisServer]:
    server = program("redis-server", "valkey-server", package="redis-server")
    with TemporaryDirectory(prefix="aioadapt-redis-") as name:
        folder = Path(name)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
        authority.cert_pem.write_to_path(folder / "trust.pem")
        with a_free_port() as port, a_free_port() as tls_port:
            chosen = RedisServer(
                port, tls_port, folder / "socket", folder / "trust.pem"
            )
            command = _command(server, folder, chosen)
            with running(*command, ready_when="Ready to accept connections"):
                yield chosen


def _command(server: str, folder: Path, chosen: RedisServer) -> list[str]:
    settings = {
        "bind": "127.0.0.1",
        "port": chosen.port,
        "tls-port": chosen.tls_port,
        "tls-cert-file": folder / "own.pem",
        "tls-key-file": folder / "own.pem",
        "tls-ca-cert-file": folder / "trust.pem",
        "tls-auth-clients": "no",
        "unixsocket": chosen.socket,
        "dir": folder,
        "save": "",
        "appendonly": "no",
    }
    command = [server]
    for setting, value in settings.items():
        command += [f"--{setting}", str(value)]
    return command
