"""The plugin itself: its cost, what it rejects, and runs without io_uring."""

import errno
from pathlib import Path

import pytest
from confined import run_confined
from programs import printed_by_python
from pytest_plugin.project import EPOLL, Project

INI = "asyncio_default_fixture_loop_scope = function\n"
ONE_TEST = """
    import pytest
    from noted import note


    @pytest.mark.asyncio
    async def test_it():
        note()
"""


def python(program: str, *arguments: str) -> str:
    return printed_by_python("-W", "error", "-c", program, *arguments)


def test_a_start_of_pytest_loads_two_modules_of_ours_and_nothing_for_them() -> None:
    program = """
import sys, pytest, typing
before = {*sys.modules}
import aioadapt.pytest_plugin
print(*sorted({*sys.modules} - before))
"""

    assert python(program).split() == ["aioadapt", "aioadapt.pytest_plugin"]


def test_a_run_that_asks_for_nothing_loads_no_more(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_plain="""
            import sys


            def test_it():
                ours = {name for name in sys.modules if name.startswith("aioadapt")}
                assert ours == {"aioadapt", "aioadapt.pytest_plugin"}
                assert "pytest_asyncio" not in sys.modules
        """,
    )

    outcome = project.run("-p", "no:asyncio")

    assert outcome.tests == {"test_it": "PASSED"}, outcome.output


def test_a_program_may_import_aioadapt_before_it_calls_pytest(tmp_path: Path) -> None:
    program = """
import sys, aioadapt, pytest
sys.exit(pytest.main(["-p", "no:asyncio", "-W", "error", "--version", sys.argv[1]]))
"""

    python(program, str(tmp_path))


@pytest.mark.parametrize("engine", ["select", "auto", "epoll,uring", ""])
def test_an_engine_that_is_not_there_is_an_error_of_usage(
    tmp_path: Path, engine: str
) -> None:
    outcome = Project(tmp_path, INI).run(f"--aioadapt-engine={engine}")

    assert outcome.status == pytest.ExitCode.USAGE_ERROR
    assert "argument --aioadapt-engine: invalid choice" in outcome.output


def test_a_mark_with_anything_but_engines_is_an_error_of_its_test(
    tmp_path: Path,
) -> None:
    project = Project(
        tmp_path,
        INI,
        test_bad="""
            import pytest


            @pytest.mark.asyncio
            @pytest.mark.aioadapt("epoll", "select", engine="uring")
            async def test_it():
                pass
        """,
    )

    outcome = project.run()

    assert outcome.status == pytest.ExitCode.INTERRUPTED
    assert (
        "test_bad.py::test_it: mark.aioadapt takes the engines 'epoll', 'uring', "
        "'adaptive', not "
        "'select', engine='uring'"
    ) in outcome.output
    assert "Traceback" not in outcome.output


def test_in_a_module_with_a_mark_tests_that_are_not_async_stay_as_they_are(
    tmp_path: Path,
) -> None:
    project = Project(
        tmp_path,
        INI,
        test_mixed="""
            import pytest
            from noted import note

            pytestmark = pytest.mark.aioadapt("epoll")


            def test_plain():
                with pytest.raises(RuntimeError):
                    note()


            @pytest.mark.asyncio
            async def test_async():
                note()
        """,
    )

    outcome = project.run()

    assert outcome.tests == {"test_plain": "PASSED", "test_async[epoll]": "PASSED"}
    assert outcome.loops == {"test_async[epoll]": EPOLL}


def test_the_option_needs_somebody_who_runs_async_tests(tmp_path: Path) -> None:
    outcome = Project(tmp_path).run(
        "--aioadapt-engine=epoll", "-p", "no:asyncio", "-p", "no:anyio"
    )

    assert outcome.status == pytest.ExitCode.USAGE_ERROR
    assert "--aioadapt-engine needs a plugin that runs async tests" in outcome.output


def test_the_mark_is_known_and_explained(tmp_path: Path) -> None:
    outcome = Project(tmp_path, INI).run("--markers")

    assert "@pytest.mark.aioadapt(*engines): " in outcome.output


REFUSED = """
import os, sys, pytest
os.chdir({folder!r})
os.environ["NOTED"] = {noted!r}
status = pytest.main(["-rs", *{arguments!r}])
print("status", int(status))
"""


@pytest.mark.parametrize("runner", ["asyncio", "anyio"])
def test_without_io_uring_that_half_is_skipped_and_says_why(
    tmp_path: Path, runner: str
) -> None:
    """Skipped before its fixtures run, so that nothing is set up needlessly."""
    if runner == "anyio":
        pytest.importorskip("anyio")
    text = f"""
        import pytest
        from noted import name_of_this_test, note


        @pytest.fixture
        def anyio_backend():
            return "asyncio"


        @pytest.fixture
        def never_on_uring():
            assert "uring" not in name_of_this_test()


        @pytest.mark.{runner}
        async def test_it(never_on_uring):
            note()
    """
    project = Project(tmp_path, INI, test_suite=text)
    noted = tmp_path / "noted.txt"
    code = REFUSED.format(
        folder=str(project.folder),
        noted=str(noted),
        arguments=["--aioadapt-engine=all"],
    )

    output = run_confined(code, deny=[["io_uring_setup", errno.EPERM, None]])

    assert "1 passed, 1 skipped" in output
    assert "io_uring cannot be used: " in output
    assert "seccomp" in output
    assert output.endswith("status 0")
    assert noted.read_text().endswith(f"\t{EPOLL}\n")


def test_a_suite_that_names_the_loop_itself_is_told_why_there_is_none(
    tmp_path: Path,
) -> None:
    """With the option that half is skipped, whatever the suite's hook returns."""
    own = """
        import aioadapt


        def pytest_asyncio_loop_factories(config, item):
            return {"epoll": aioadapt.EpollEventLoop, "uring": aioadapt.UringEventLoop}
    """
    project = Project(tmp_path, INI, conftest=own, test_suite=ONE_TEST)
    limits = {"deny": [["io_uring_setup", errno.EPERM, None]]}

    def run(*arguments: str) -> str:
        noted = str(tmp_path / "noted.txt")
        code = REFUSED.format(
            folder=str(project.folder), noted=noted, arguments=arguments
        )
        return run_confined(code, **limits)

    alone, chosen = run(), run("--aioadapt-engine=all")

    assert "1 passed, 1 error" in alone
    assert "UringUnavailableError: [Errno 1] cannot set up an io_uring" in alone
    assert "1 passed, 1 skipped" in chosen
