"""tools/foreign-suites reports a suite's results correctly, here for a small suite."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.foreign_suites import environment, running
from tools.foreign_suites.comparing import count, lost
from tools.foreign_suites.environment import Environment
from tools.foreign_suites.running import Result, Results, run_suite
from tools.foreign_suites.suites import Suite, pinned, project_of

# With a named plugin pytest does not search for others and starts sooner.
SUITE = Suite("imaginary", "1.0", lambda source: [], plugins=("timeout",))

TESTS = """
import asyncio
import os

import pytest

def test_passes():
    asyncio.run(asyncio.sleep(0))

def test_fails_on_epoll():
    with asyncio.Runner() as runner:
        assert "epoll" not in type(runner.get_loop()).__module__

def test_ends_the_process_on_epoll():
    with asyncio.Runner() as runner:
        if "epoll" in type(runner.get_loop()).__module__:
            os._exit(7)

@pytest.mark.parametrize("name", [object()], ids=repr)
def test_is_named_by_an_address(name):
    asyncio.run(asyncio.sleep(0))
"""


@pytest.fixture
def imaginary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """This Python; a conftest.py selects the loop here, not a .pth file."""
    (tmp_path / "conftest.py").write_text("import chosen_loop\n")
    (tmp_path / "test_imaginary.py").write_text(TESTS)
    monkeypatch.setattr(running, "FOREIGN", tmp_path)
    return Environment(tmp_path, Path(sys.executable))


def test_what_fails_or_ends_the_process_is_found_and_the_rest_is_run(
    imaginary: Environment,
) -> None:
    results = {kind: run_suite(SUITE, imaginary, kind) for kind in ("asyncio", "epoll")}

    assert outcomes(results["asyncio"]) == ["passed"] * 4
    assert outcomes(results["epoll"]) == ["passed", "failed", "crashed", "passed"]
    assert results["epoll"][named("ends_the_process_on_epoll")].why == "exit status 7"
    assert lost(results["asyncio"], results["epoll"]) == [
        named("fails_on_epoll"),
        named("ends_the_process_on_epoll"),
    ]
    # It is unknown which loops a crashed test ran.
    assert count(results["epoll"], "epoll").on_it == 3
    assert count(results["epoll"], "epoll").on_others == 0
    assert count(results["asyncio"], "asyncio").on_it == 4


def test_a_run_goes_on_where_it_was_left(imaginary: Environment) -> None:
    some = run_suite(SUITE, imaginary, "asyncio", [named("passes")])
    assert list(some) == [named("passes")]
    file = running.results_file(SUITE, "asyncio")
    before = file.read_text()

    assert len(run_suite(SUITE, imaginary, "asyncio", resume=True)) == 4

    assert file.read_text().startswith(before)


def test_a_test_that_is_not_there_is_lost_as_well() -> None:
    reference: Results = {"a": Result("passed"), "b": Result("failed")}
    assert lost(reference, {}) == ["a"]
    assert lost(reference, {"a": Result("skipped")}) == ["a"]


def test_a_pinned_file_is_read_without_its_comments_and_what_is_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "test.txt").write_text(
        "# made by a tool\n--index here\n\nuvloop==1 ; this\npytest_cov==2\n    # via x\n"
    )
    assert pinned("test.txt", "uvloop")(tmp_path) == ["pytest_cov==2"]
    assert project_of("pytest_xdist[psutil]==3.8.0") == "pytest-xdist"


def test_a_release_without_tests_is_taken_from_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    (repository / "src").mkdir(parents=True)
    (repository / "src" / "imaginary.py").touch()
    (repository / "test_imaginary.py").write_text(TESTS)
    git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=b")
    for command in (["init"], ["add", "."], ["commit", "-m", "a"], ["tag", "1.0"]):
        environment.run(*git, *command)
    monkeypatch.setattr(environment, "FOREIGN", tmp_path)
    suite = dataclasses.replace(
        SUITE, repository=repository.as_uri(), package="src", release="1.0"
    )

    environment.unpack(suite, tmp_path / "source")

    assert (tmp_path / "source" / "test_imaginary.py").exists()
    assert not (tmp_path / "source" / "src").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_a_program_that_refuses_root_is_run_as_another_user() -> None:
    prefix = running.not_as_root()
    if subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("user namespaces are not permitted here")

    assert environment.run(*prefix, "id", "-un") == "daemon\n"


def test_a_suites_variables_are_set_for_its_tests(
    imaginary: Environment, tmp_path: Path
) -> None:
    (tmp_path / "test_imaginary.py").write_text(
        "import os\n\ndef test_it():\n    assert os.environ['FACTOR'] == '10'\n"
    )
    suite = dataclasses.replace(SUITE, variables={"FACTOR": "10"})

    assert outcomes(run_suite(suite, imaginary, "asyncio")) == ["passed"]


def named(test: str) -> str:
    return f"test_imaginary.py::test_{test}"


def outcomes(results: Results) -> list[str]:
    return [result.outcome for result in results.values()]
