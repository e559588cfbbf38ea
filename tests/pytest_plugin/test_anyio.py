"""A project whose tests run under anyio, unchanged, on the chosen loops."""

from pathlib import Path

import pytest
from pytest_plugin.project import DEFAULT, EPOLL, URING, Project

pytest.importorskip("anyio")

SUITE = """
    import anyio
    import pytest
    from noted import note

    pytestmark = pytest.mark.anyio


    @pytest.fixture
    async def listener():
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            note()
            yield listener


    async def test_alone():
        note()


    def test_plain():
        pass


    def test_plain_with_a_fixture(listener, anyio_backend_name):
        assert anyio_backend_name == "asyncio"


    @pytest.mark.parametrize("number", [1, 2])
    async def test_of_numbers(number):
        note()


    class TestInAClass:
        async def test_echo(self, listener):
            async def echo(stream):
                async with stream:
                    await stream.send(await stream.receive())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, echo)
                port = listener.extra(anyio.abc.SocketAttribute.local_port)
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"hello")
                    assert await stream.receive() == b"hello"
                tasks.cancel_scope.cancel()
            note()
"""
ASYNC = [
    "test_alone",
    "test_plain_with_a_fixture",
    "test_of_numbers[1]",
    "test_of_numbers[2]",
    "TestInAClass::test_echo",
]

ALONE = ("-p", "no:asyncio")  # which would warn about an unknown setting

PLAIN_BACKEND = """
    import pytest


    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""
ONE_OF_MANY = """
    import pytest


    @pytest.fixture(
        scope="module",
        params=[
            pytest.param(("asyncio", {"debug": True}), id="careful"),
            pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
            pytest.param("asyncio", marks=pytest.mark.skip),
            "trio",
        ],
    )
    def anyio_backend(request):
        return request.param
"""
WITH_TRIO = """
    import pytest
    from noted import note

    pytestmark = pytest.mark.anyio


    async def test_any():
        assert note().get_debug()


    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_of_asyncio():
        note()


    @pytest.mark.parametrize("anyio_backend", ["trio"])
    async def test_of_trio():
        raise NotImplementedError
"""


def on(name: str, backend: str) -> str:
    plain, bracket, rest = name.partition("[")
    return f"{plain}[{rest[:-1] + '-' if bracket else ''}{backend}]"


def test_without_option_and_mark_nothing_is_another(tmp_path: Path) -> None:
    project = Project(tmp_path, conftest=PLAIN_BACKEND, test_suite=SUITE)

    with_it, without_it = project.run(*ALONE), project.run(*ALONE, "-p", "no:aioadapt")

    assert with_it.tests == without_it.tests
    assert with_it.loops == without_it.loops == dict.fromkeys(ASYNC, DEFAULT)
    assert with_it.status == 0


@pytest.mark.usefixtures("needs_uring")
def test_every_test_that_needs_a_backend_runs_once_on_each_engine(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, conftest=PLAIN_BACKEND, test_suite=SUITE)

    outcome = project.run("--aioadapt-engine=all", *ALONE)

    expected = {
        on(name, f"asyncio+{engine}"): loop
        for engine, loop in {"epoll": EPOLL, "uring": URING}.items()
        for name in ASYNC
    }
    assert outcome.loops == expected, outcome.output
    assert outcome.tests == dict.fromkeys([*expected, "test_plain"], "PASSED")


def test_of_several_backends_each_asyncio_is_replaced_and_no_other(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, conftest=ONE_OF_MANY, test_many=WITH_TRIO)

    outcome = project.run("--aioadapt-engine=epoll", *ALONE, "-k", "not trio")

    assert outcome.loops["test_any[careful+epoll]"] == EPOLL, outcome.output
    assert outcome.tests == {
        "test_any[careful+epoll]": "PASSED",
        "test_any[asyncio+epoll]": "FAILED",  # its debug mode is off
        "test_of_asyncio[asyncio+epoll]": "PASSED",
    }
    assert (
        "test_any[trio]"
        in project.run("--aioadapt-engine=epoll", *ALONE, "--collect-only", "-q").output
    )


def test_a_mark_chooses_for_its_test(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        conftest=PLAIN_BACKEND,
        test_marks="""
            import pytest
            from noted import note

            pytestmark = pytest.mark.anyio


            @pytest.mark.aioadapt("epoll")
            async def test_chosen():
                note()


            async def test_other():
                note()
        """,
    )

    outcome = project.run(*ALONE)

    assert outcome.loops == {
        "test_chosen[asyncio+epoll]": EPOLL,
        "test_other": DEFAULT,
    }, outcome.output
