"""A project whose tests run under pytest-asyncio, unchanged, on the chosen loops."""

from pathlib import Path

import pytest
from pytest_plugin.project import DEFAULT, EPOLL, URING, Outcome, Project

# Loops and async fixtures of every scope, with plain tests in between.
SUITE = """
    import asyncio

    import pytest
    import pytest_asyncio
    from noted import note


    @pytest_asyncio.fixture
    async def its_loop():
        yield asyncio.get_running_loop()


    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def server():
        async def echo(reader, writer):
            writer.write(await reader.read(100))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            yield server


    @pytest.mark.asyncio
    async def test_alone():
        note()


    def test_plain():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()


    @pytest.mark.asyncio
    async def test_with_a_fixture(its_loop):
        assert note() is its_loop


    def test_plain_with_a_fixture(its_loop):
        assert its_loop is not None


    @pytest.mark.asyncio
    @pytest.mark.parametrize("number", [1, 2])
    async def test_of_numbers(number, its_loop):
        assert note() is its_loop


    @pytest.mark.asyncio(loop_scope="module")
    async def test_first_client(server):
        assert note() is server.get_loop()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


    @pytest.mark.asyncio(loop_scope="module")
    async def test_second_client(server):
        assert note() is server.get_loop()


    @pytest.mark.asyncio
    async def test_shorter_than_its_fixture(server):
        assert note() is not server.get_loop()
        assert type(note()) is type(server.get_loop())


    @pytest.mark.asyncio(loop_scope="class")
    class TestInAClass:
        loops = set()

        async def test_one(self):
            self.loops.add(note())

        async def test_two(self):
            assert note() in self.loops


    @pytest.mark.asyncio
    async def test_that_fails():
        note()
        assert await asyncio.sleep(0, 1) == 2
"""

ASYNC = [
    "test_alone",
    "test_with_a_fixture",
    "test_of_numbers[1]",
    "test_of_numbers[2]",
    "test_first_client",
    "test_second_client",
    "test_shorter_than_its_fixture",
    "TestInAClass::test_one",
    "TestInAClass::test_two",
    "test_that_fails",
]
PLAIN = {"test_plain": "PASSED", "test_plain_with_a_fixture": "PASSED"}
INI = "asyncio_default_fixture_loop_scope = function\n"


def on(name: str, engine: str) -> str:
    """``test[1]`` on an engine is ``test[epoll-1]``."""
    plain, bracket, rest = name.partition("[")
    return f"{plain}[{engine}{'-' + rest if bracket else ']'}"


def loops_of(*engines: str) -> dict[str, str]:
    classes = {"epoll": EPOLL, "uring": URING, "adaptive": "AdaptiveEventLoop"}
    return {on(name, engine): classes[engine] for engine in engines for name in ASYNC}


def outcomes_of(*engines: str) -> dict[str, str]:
    return PLAIN | {
        name: "FAILED" if "that_fails" in name else "PASSED"
        for name in loops_of(*engines)
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, INI, test_suite=SUITE)


def check(outcome: Outcome, *engines: str) -> None:
    assert outcome.tests == outcomes_of(*engines), outcome.output
    assert outcome.loops == loops_of(*engines)
    assert outcome.status == pytest.ExitCode.TESTS_FAILED


def test_without_option_and_mark_nothing_is_another(project: Project) -> None:
    with_it, without_it = project.run(), project.run("-p", "no:aioadapt")

    assert with_it.tests == without_it.tests
    assert with_it.loops == without_it.loops == dict.fromkeys(ASYNC, DEFAULT)
    assert with_it.tests == PLAIN | {
        name: "FAILED" if name == "test_that_fails" else "PASSED" for name in ASYNC
    }


def test_every_async_test_runs_on_the_engine_that_the_option_names(
    project: Project,
) -> None:
    check(project.run("--aioadapt-engine=adaptive"), "adaptive")


@pytest.mark.usefixtures("needs_uring")
def test_every_async_test_runs_once_on_each_engine(project: Project) -> None:
    check(project.run("--aioadapt-engine=all"), "epoll", "uring")


@pytest.mark.usefixtures("needs_uring")
def test_the_tests_may_be_spread_over_processes(project: Project) -> None:
    pytest.importorskip("xdist")
    spread = ("-n2", "--dist=loadscope")  # tests of a class share a loop

    check(project.run("--aioadapt-engine=all", *spread), "epoll", "uring")


@pytest.mark.usefixtures("needs_uring")
def test_tests_of_auto_mode_need_no_mark(tmp_path: Path) -> None:
    unmarked = SUITE.replace("    @pytest.mark.asyncio\n", "")
    project = Project(tmp_path, INI + "asyncio_mode = auto\n", test_suite=unmarked)

    check(project.run("--aioadapt-engine=all"), "epoll", "uring")


@pytest.mark.usefixtures("needs_uring")
def test_a_mark_chooses_for_its_test_class_or_module(tmp_path: Path) -> None:
    """All other tests are unaffected: the project's own pytest-asyncio hook applies
    to them, and only to them."""
    project = Project(
        tmp_path,
        INI,
        conftest="""
            import asyncio


            class Own(asyncio.SelectorEventLoop):
                pass


            def pytest_asyncio_loop_factories(config, item):
                return {"own": Own, "other": asyncio.SelectorEventLoop}
        """,
        test_marks="""
            import pytest
            from noted import note

            pytestmark = pytest.mark.asyncio


            @pytest.mark.aioadapt("uring", "epoll")
            async def test_both():
                note()


            async def test_own():
                note()


            @pytest.mark.asyncio(loop_factories=["own"])
            async def test_by_hand():
                note()


            @pytest.mark.aioadapt("epoll")
            class TestOfOneEngine:
                async def test_it(self):
                    note()

                @pytest.mark.aioadapt
                async def test_closer_mark(self):
                    note()
        """,
    )
    expected = {
        "test_both[uring]": URING,
        "test_both[epoll]": EPOLL,
        "test_own[own]": "Own",
        "test_own[other]": DEFAULT,
        "test_by_hand": "Own",
        "TestOfOneEngine::test_it[epoll]": EPOLL,
        "TestOfOneEngine::test_closer_mark[epoll]": EPOLL,
        "TestOfOneEngine::test_closer_mark[uring]": URING,
    }

    outcome = project.run()

    assert outcome.loops == expected, outcome.output
    assert outcome.status == 0

    outcome = project.run("--aioadapt-engine=uring")

    del expected["test_own[own]"], expected["test_own[other]"]
    assert outcome.loops == expected | {"test_own[uring]": URING}, outcome.output
    assert outcome.status == 0


MIXED = """
    import asyncio

    import pytest
    import pytest_asyncio
    from noted import note

    pytestmark = pytest.mark.asyncio(loop_scope="module")


    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def its_loop():
        yield asyncio.get_running_loop()


    async def test_before(its_loop):
        assert note() is its_loop


    @pytest.mark.aioadapt("epoll")
    async def test_chosen(its_loop):
        assert note() is its_loop


    async def test_after(its_loop):
        assert note() is its_loop
"""


def test_a_fixture_of_the_module_does_not_outlive_a_change_of_loop(
    tmp_path: Path,
) -> None:
    outcome = Project(tmp_path, INI, test_mixed=MIXED).run()

    assert outcome.loops == {
        "test_before": DEFAULT,
        "test_chosen[epoll]": EPOLL,
        "test_after": DEFAULT,
    }, outcome.output
    assert outcome.status == 0


def test_hypothesis_may_call_the_test(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        INI,
        test_given="""
            import pytest
            from hypothesis import given, settings, strategies
            from noted import note


            @pytest.mark.asyncio
            @given(strategies.integers())
            @settings(max_examples=3, database=None)
            async def test_given(number):
                note()
        """,
    )

    outcome = project.run("--aioadapt-engine=epoll")

    assert outcome.loops == {"test_given[epoll]": EPOLL}, outcome.output
