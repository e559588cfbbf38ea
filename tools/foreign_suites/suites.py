"""Which projects' tests are run, where they come from, and what they need.

The source distribution on the package index contains the tests and, in varying
places, their requirements; if it lacks the tests, the release is taken from the
project's repository.  The project itself is installed from the same release.
Requirements that only lint, measure or publish are left out.  So is uvloop, because
these suites would test it as well if it were installed.  A suite that does not run
without uvloop has it installed, and the loop under test replaces it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Requirements = list[str]


@dataclass(frozen=True)
class Suite:
    name: str
    release: str
    """The release that the documented figures refer to."""
    needs: Callable[[Path], Requirements]
    """Reads the requirements from the unpacked source distribution."""
    extra: str = ""
    """An extra of the project itself, as in ``uvicorn[standard]``."""
    repository: str = ""
    """Where the tests are if the source distribution lacks them: git, a tag a release."""
    package: str = ""
    """Its folder in the source, removed so that the installed package is tested."""
    plugins: tuple[str, ...] = ()
    """pytest plugins; if there are any, no others are loaded."""
    options: tuple[str, ...] = ()
    """Further options for pytest."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the tests read."""
    refuses_root: bool = False
    """A program that the tests start refuses to run as root."""
    stands_in_for: str = ""
    """Another project's loop that the loop under test replaces."""
    about_asyncio: Mapping[str, str] = field(default_factory=dict)
    """Tests that say nothing about a replacement, and what each one checks."""
    also: tuple[str, ...] = field(default=("pytest-timeout>=2.3",))
    """Our own requirements, in addition to those of the suite."""

    @property
    def wanted(self) -> str:
        return f"{self.name}{self.extra}=={self.release}"


def without(*names: str) -> Callable[[Requirements], Requirements]:
    def kept(requirements: Requirements) -> Requirements:
        return [line for line in requirements if project_of(line) not in names]

    return kept


def project_of(requirement: str) -> str:
    """``pytest-xdist`` for ``pytest_xdist[psutil]==3.8.0``."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def group(name: str, *left_out: str) -> Callable[[Path], Requirements]:
    """A dependency group of pyproject.toml."""

    def read(source: Path) -> Requirements:
        groups = tomllib.loads((source / "pyproject.toml").read_text())
        return without(*left_out)(groups["dependency-groups"][name])

    return read


def extra(name: str, *left_out: str) -> Callable[[Path], Requirements]:
    """An optional dependency of pyproject.toml."""

    def read(source: Path) -> Requirements:
        project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
        return without(*left_out)(project["optional-dependencies"][name])

    return read


def pinned(file: str, *left_out: str) -> Callable[[Path], Requirements]:
    """A requirements file with pinned versions."""

    def read(source: Path) -> Requirements:
        lines = (source / file).read_text().splitlines()
        stated = [
            line for line in lines if line.strip() and line.strip()[0] not in "#-"
        ]
        return without(*left_out)(stated)

    return read


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "uvicorn",
            "0.54.0",
            # uvicorn itself is installed already; of its extra, all but uvloop is.
            lambda source: [
                *extra("standard", "uvloop")(source),
                *group(
                    "dev",
                    *(
                        "uvicorn",
                        "ruff",
                        "mypy",
                        "types-click",
                        "types-pyyaml",
                        "twine",
                    ),
                    *("coverage", "coverage-conditional-plugin"),
                    "coverage-enable-subprocess",
                )(source),
            ],
            package="uvicorn",
            # Its own options run eight processes at a time.
            options=("-o", "addopts=--strict-config --strict-markers"),
            about_asyncio={
                "tests/test_auto_detection.py::test_loop_auto": (
                    "the module of the loop's class is asyncio's"
                )
            },
        ),
        Suite(
            "aiohttp",
            "3.14.5",
            pinned("requirements/test.txt", "uvloop", "mypy", "python-on-whales"),
            extra="[speedups]",
            package="aiohttp",
            # Likewise; what its own options exclude is excluded here too.
            options=(
                "-o",
                "addopts=--strict-markers",
                "-m",
                "not dev_mode and not autobahn and not internal",
                "--ignore-glob=tests/test_benchmarks_*",
            ),
        ),
        Suite(
            "anyio",
            "4.16.0",
            group("test", "uvloop", "winloop", "coverage"),
            package="src",
            plugins=("anyio", "pytest_mock", "timeout"),
            options=(
                *("-o", "addopts=--strict-config --strict-markers"),
                # These two access the Internet.
                "--deselect=tests/test_lazyimport.py::test_sourceless_install",
                "--deselect=tests/test_sockets.py::test_getaddrinfo[",
            ),
        ),
        Suite(
            "uvloop",
            "0.23.0",
            extra("test", "flake8", "pycodestyle", "mypy"),
            package="uvloop",
            stands_in_for="uvloop",
            also=("pytest>=8.4", "pytest-timeout>=2.3"),
            # It checks the types and style of uvloop's own sources.
            options=("--ignore=tests/test_sourcecode.py", "--timeout=60"),
        ),
        Suite(
            "hypercorn",
            "0.18.0",
            group("dev"),
            package="src",
            # The rest runs on trio.
            options=(
                *("-o", "addopts=--strict-markers", "--ignore=tests/trio"),
                "--timeout=60",
            ),
        ),
        Suite(
            "starlette",
            "1.10.0",
            group(
                "dev",
                "starlette",
                "coverage",
                "mypy",
                "ruff",
                "trio",
                "types-pyyaml",
                "twine",
            ),
            extra="[full]",
            package="starlette",
            options=("-o", "addopts=--strict-config --strict-markers", "--timeout=60"),
        ),
        Suite(
            "tornado",
            "6.6.1",
            lambda source: [],  # its tests are in the package, and need unittest
            package="tornado",
            also=("pytest>=8.4", "pytest-timeout>=2.3"),
            variables={"FOREIGN_SILENCED": "tornado.access"},
            options=(
                *("-c", os.devnull, "--rootdir=."),  # not our own configuration
                *("-o", "python_files=*_test.py", "--timeout=60"),
                *("--pyargs", "tornado.test"),
            ),
        ),
        Suite(
            "websockets",
            "17.0.1",
            lambda source: [],  # unittest; the proxies of the others are not needed
            repository="https://github.com/python-websockets/websockets",
            package="src",
            also=("pytest>=8.4", "pytest-timeout>=2.3", "python-socks[asyncio]"),
            # Its unit of time is 100 ms in a release and 1 ms in its own continuous
            # integration; at 10 ms the suite takes minutes and bears a busy machine.
            variables={"WEBSOCKETS_TESTS_TIMEOUT_FACTOR": "10"},
            # The rest is without asyncio: on threads, on trio, or without any I/O.
            # Without -c, pytest would look for its configuration in our own files.
            options=(
                *("-c", "pyproject.toml", "--timeout=120"),
                *("tests/asyncio", "tests/legacy"),
            ),
            about_asyncio={
                f"tests/asyncio/test_connection.py::{side}ConnectionTests"
                f"::test_{end}_address": "patches asyncio.Transport.get_extra_info"
                for side in ("Client", "Server")
                for end in ("local", "remote")
            },
        ),
        Suite(
            "aiosmtpd",
            "1.4.6",
            pinned("requirements.txt", "coverage", "pytest-cov"),
            package="aiosmtpd",  # its tests are in the package
            options=(
                *("-o", "addopts=", "--timeout=60"),
                *("-o", "markers=client_data\ncontroller_data\nhandler_data"),
                *("--pyargs", "aiosmtpd.tests"),
            ),
        ),
        Suite(
            "picows",
            "2.3.1",
            # Those of its requirements-test.txt, which is not in the distribution,
            # and what its fixtures import.
            lambda source: [
                *("pytest-asyncio", "async_timeout", "tiny-proxy", "anyio"),
                *("websockets", "uvloop"),
            ],
            package="picows",
            stands_in_for="uvloop",
            also=("pytest>=8.4", "pytest-timeout>=2.3"),
            options=(
                "--timeout=60",
                # Looks a name up on the Internet.
                "--deselect=tests/test_redirects_and_proxies.py::test_proxy_dns_resolution",
            ),
            about_asyncio={
                f"tests/test_basics.py::test_client_handshake_timeout[{loop}-{transport}]": (
                    "wants a handshake with a server on the same loop to take over 10 us"
                )
                for loop in ("asyncio", "uvloop")
                for transport in ("aiofastnet-tcp", "native-tcp")
            },
        ),
        Suite(
            "aiofastnet",
            "1.2.0",
            # Likewise, without what only its benchmarks need.
            lambda source: [
                *("pytest-asyncio>=1.4.0", "pytest-aiohttp", "async_timeout"),
                *("aiohttp", "exceptiongroup", "psutil"),
            ],
            package="aiofastnet",
            also=("pytest>=8.4", "pytest-timeout>=2.3"),
            options=(
                *("--ignore=tests/test_benchmarks.py", "--ignore=tests/test_typing.py"),
                "--timeout=60",
            ),
        ),
        Suite(
            "asyncpg",
            "0.32.0",
            # Its tests of Kerberos need a server for it, and skip without the packages.
            lambda source: ["distro~=1.9.0"],
            package="asyncpg",
            also=("pytest>=8.4", "pytest-timeout>=2.3"),
            options=(
                *("-o", "addopts=--strict-markers --import-mode=importlib"),
                *("--ignore=tests/test__sourcecode.py", "--timeout=120"),
            ),
            refuses_root=True,  # PostgreSQL's server
        ),
        Suite(
            "pytest-asyncio",
            "1.5.0",
            group("test", "coverage"),
            package="pytest_asyncio",
            options=("-o", "addopts=-rsx", "--timeout=60"),
        ),
    )
}
