"""pytest-asyncio before 1.4, which takes its loops from a policy.

These versions are installed into the build folder when they are first needed.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_plugin.project import DEFAULT, EPOLL, Project
from pytest_plugin.test_pytest_asyncio import INI, MIXED, SUITE, check

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="it uses asyncio's policies, and does not load where warnings are errors",
)
ROOT = Path(__file__).parent.parent.parent
# The first of them creates its loop itself and supports only an older pytest; the
# last one leaves the loop to asyncio's Runner, as all later versions do.
VERSIONS = {
    "1.0.0": ["pytest-asyncio==1.0.0", "pytest==8.4.2"],
    "1.3.0": ["pytest-asyncio==1.3.0"],
}
# One has policies but no loop scopes; the other has neither.
TOO_OLD = {
    "0.23.8": ["pytest-asyncio==0.23.8", "pytest==8.2.2"],
    "0.21.2": ["pytest-asyncio==0.21.2", "pytest==7.4.4"],
}


@pytest.fixture(params=VERSIONS)
def older(request: pytest.FixtureRequest) -> Path:
    return beside(request.param, VERSIONS[request.param])


@pytest.fixture(params=TOO_OLD)
def too_old(request: pytest.FixtureRequest) -> Path:
    return beside(request.param, TOO_OLD[request.param])


def beside(version: str, packages: list[str]) -> Path:
    """A folder with that version, which takes precedence over the installed one."""
    folder = ROOT / "build" / f"pytest-asyncio-{version}"
    if not folder.exists():
        # Created atomically: another process may need the same version now.
        with TemporaryDirectory(dir=folder.parent) as made:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            command += ["--target", f"{made}/packages", *packages]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = done.stderr.strip().rpartition("\n")[2]
                pytest.skip(f"pytest-asyncio {version} is not to be had: {reason}")
            try:
                os.rename(f"{made}/packages", folder)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:  # the other process was first
                    raise
    return folder


@pytest.mark.usefixtures("needs_uring")
def test_every_async_test_runs_once_on_each_engine(tmp_path: Path, older: Path) -> None:
    project = Project(tmp_path, INI, test_suite=SUITE)

    outcome = project.run("--aioadapt-engine=all", instead=older)

    check(outcome, "epoll", "uring")


def test_a_mark_chooses_and_nothing_outlives_a_change_of_policy(
    tmp_path: Path, older: Path
) -> None:
    """The project's own policy fixture has several values, used for all other tests."""
    project = Project(
        tmp_path,
        INI,
        test_mixed=MIXED,
        test_own_policies="""
            import asyncio

            import pytest
            from noted import note


            class Own(asyncio.SelectorEventLoop):
                pass


            @pytest.fixture(params=[1, 2])
            def event_loop_policy(request):
                class OwnPolicy(type(asyncio.get_event_loop_policy())):
                    def new_event_loop(self):
                        return Own()

                return OwnPolicy()


            @pytest.mark.asyncio
            async def test_own():
                note()


            @pytest.mark.asyncio
            @pytest.mark.aioadapt("epoll")
            async def test_ours():
                note()
        """,
    )

    outcome = project.run(instead=older)

    assert outcome.loops == {
        "test_before": DEFAULT,
        "test_chosen[epoll]": EPOLL,
        "test_after": DEFAULT,
        "test_own[1]": "Own",
        "test_own[2]": "Own",
        "test_ours[epoll]": EPOLL,
    }, outcome.output
    assert outcome.status == 0


def test_before_1_0_a_chosen_test_is_told_what_it_needs(
    tmp_path: Path, too_old: Path
) -> None:
    text = """
        import pytest


        @pytest.mark.asyncio
        async def test_it():
            pass
    """
    project = Project(tmp_path, test_suite=text)
    # These versions call functions that Python has deprecated since.
    options = ("-p", "no:anyio", "-p", "no:timeout", "-W", "default")

    outcome = project.run("--aioadapt-engine=epoll", *options, instead=too_old)

    assert outcome.status == pytest.ExitCode.INTERRUPTED, outcome.output
    assert (
        "test_suite.py::test_it: running on aioadapt's event loops needs "
        "pytest-asyncio 1.0 or newer"
    ) in outcome.output
    assert "Traceback" not in outcome.output
