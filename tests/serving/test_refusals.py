"""Why ``aioadapt serve`` cannot start: one line, and exit status 2."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from programs import printed_by_python
from serving.command import Refusals, refusal

from aioadapt import WorkloadHint
from aioadapt.cli.serve import Hint, LogLevel, StartOn
from aioadapt.control.start import STARTS
from aioadapt.serving.options import LOG_LEVELS


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusals]:
    made = Refusals(tmp_path_factory.mktemp("refusals"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good"], "'good' does not name an application; use module:attribute"),
        (["good.py:app"], "'good.py' is a file; use the module name: good:app"),
        (["./sub/good.py:app"], "use the module name: sub.good:app"),
        (["goood:app"], "there is no module 'goood'"),
        (["good.sub:app"], "there is no module 'good.sub'"),
        (["good:aap"], "module 'good' has no attribute 'aap'; did you mean 'app'?"),
        (["good:settings"], "good:settings is not an application: its type dict"),
        (["good:wsgi"], "takes two arguments, like a WSGI application"),
        (["needs_more:app"], "No module named 'no_such_library'"),
        (["needs_more:app"], "needs_more.py, line 3"),
        (["raises:app"], "ValueError: settings.toml has no [server]"),
        (["ends:app"], "importing 'ends' exited the program"),
        (["good:make_nothing"], "good:make_nothing returned None"),
        (["good:make_trouble"], "good:make_trouble failed: KeyError: 'DATABASE_URL'"),
        (
            ["good:settings", "--factory"],
            "good:settings is not an application: its type dict",
        ),
        (["good:app", "--factory"], "the factory good:app failed: TypeError"),
        (["good:no_start"], "startup failed: ConnectionRefusedError"),
        (["good:polite_no"], "startup failed: ValueError: no database"),
        (["good:app", "--host", "no.such.host.invalid"], "cannot resolve host"),
        (
            ["good:app", "--host", "192.0.2.1"],
            "this machine does not have that address",
        ),
        (["good:app", "--port", "99999"], "--port"),
        (["good:app", "--start", "kqueue"], "kqueue"),
        (["good:app", "--hint", "fast"], "fast"),
        (
            ["good:app", "--hint", "high-concurrency", "--start", "epoll"],
            "leave one of them out",
        ),
        (["good:app", "--workers", "0"], "--workers"),
        (["good:app", "--graceful-s", "-1"], "--graceful-s"),
        (["good:app", "--log-level", "loud"], "loud"),
        (["good:app", "--thresholds", "/proc/none"], "/proc/none"),
        (["good:app", "--uds", "/proc/none/s"], "cannot listen on /proc/none/s"),
        (["good:app", "--uds", "/" + 120 * "s"], "cannot listen on /ss"),
        (
            ["good:app", "--ssl-certfile", "none.pem"],
            "cannot read the TLS certificate none.pem",
        ),
        (["good:app", "--ssl-keyfile", "none.pem"], "was given without a certificate"),
        (["good:app", "--admin-tcp", "somewhere"], "somewhere"),
        (["good:app", "--nonsense"], "--nonsense"),
        (["good:app", "--app-dir", "/proc/none"], "--app-dir"),
        (["good:app", "--app-dir", "good.py"], "--app-dir"),
        (["good:app", "--app-dir", "/"], "there is no module 'good' in /, and none"),
        (["good:app", "--admin-tcp", "1:99999"], "--admin-tcp"),
        (
            ["good:app", "--workers", "2", "--admin", "/tmp/one.sock"],
            "each worker has its own admin socket",
        ),
    ],
)
def test_it_is_said_in_one_line(
    arguments: list[str], said: str, refusals: Refusals
) -> None:
    if not {"--port", "--uds"} & set(arguments):
        arguments = [*arguments, "--port", "0"]
    assert said in refusals.of(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good:aap"], "module 'good' has no attribute 'aap'; did you mean 'app'?"),
        (["goood:app", "--workers", "2"], "there is no module 'goood'"),
        (["good:no_start", "--workers", "2"], "startup failed: ConnectionRefused"),
    ],
)
def test_it_is_said_as_people_and_workers_begin(
    arguments: list[str], said: str
) -> None:
    assert said in refusal(*arguments, "--port", "0")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_named(workers: str, refusals: Refusals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = refusals.of("good:app", "--port", port, "--workers", workers)
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in said


def test_a_unix_socket_in_use_is_named(tmp_path: Path, refusals: Refusals) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        said = refusals.of("good:app", "--uds", str(path))
    assert f"cannot listen on {path}: another server is listening there" in said


def test_tls_files_that_cannot_be_used_are_named(
    tmp_path: Path, refusals: Refusals
) -> None:
    authority = trustme.CA()
    ours, other = (authority.issue_cert("localhost") for _ in range(2))
    certificate, key, nonsense = (str(tmp_path / name) for name in "ckn")
    ours.cert_chain_pems[0].write_to_path(certificate)
    other.private_key_pem.write_to_path(key)
    Path(nonsense).write_text("not PEM")

    def say(certfile: str, keyfile: str) -> str:
        files = "--ssl-certfile", certfile, "--ssl-keyfile", keyfile
        return refusals.of("good:app", *files)

    assert f"key {key} does not match the certificate" in say(certificate, key)
    assert "not in PEM" in say(nonsense, key)
    assert "not in PEM" in say(certificate, nonsense)
    assert "not in PEM" in refusals.of("good:app", "--ssl-certfile", certificate)


def test_an_encrypted_key_wants_its_password(
    tmp_path: Path, refusals: Refusals
) -> None:
    """OpenSSL would ask on the terminal, and a service would wait forever."""
    from cryptography.hazmat.primitives import serialization as to

    issued = trustme.CA().issue_cert("localhost")
    key = to.load_pem_private_key(issued.private_key_pem.bytes(), None)
    certificate, encrypted = tmp_path / "c", tmp_path / "k"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    encrypted.write_bytes(
        key.private_bytes(
            to.Encoding.PEM,
            to.PrivateFormat.PKCS8,
            to.BestAvailableEncryption(b"secret"),
        )
    )
    files = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(encrypted)]

    assert "is encrypted; pass its password" in refusals.of("good:app", *files)
    said = refusals.of("good:app", *files, "--ssl-keyfile-password", "wrong")
    assert "wrong password for the TLS key" in said
    said = refusals.of("good:app", *files, "--ssl-keyfile-password", 2000 * "x")
    assert f"invalid password for the TLS key {encrypted}: " in said


@pytest.mark.parametrize(
    "use", ["AdaptiveServer(print)", "serve('good:app')"], ids=["class", "function"]
)
def test_a_missing_extra_is_named(use: str) -> None:
    program = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "uvicorn" else found(name)
sys.modules["uvicorn"] = None
import aioadapt
try:
    aioadapt.{use}
except aioadapt.ServeError as error:
    print(error)
"""
    printed = printed_by_python("-c", program)
    assert 'pip install "aioadapt[serve]"' in printed


def test_the_commands_words_are_those_of_the_library() -> None:
    assert {hint.value for hint in Hint} == {hint.option for hint in WorkloadHint}
    assert {start.value for start in StartOn} == set(STARTS)
    assert {level.value for level in LogLevel} == set(LOG_LEVELS)
