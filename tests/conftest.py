"""Loops for all tests, and a check after each test for what it left behind."""

import asyncio
import gc
import inspect
import socket
import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import trustme
from hermetic import make_hermetic
from leftovers import (
    CLOSED_FIRST,
    Before,
    busy_with_nothing,
    leftovers,
    leftovers_of_loop,
    looking_into_loops,
    what_lives_is_here_to_stay,
)
from loops import KINDS, OURS, LoopFactory, Reported, Run, factory_of, or_skip
from seen import RunningAdmin, Seen, running_admin
from time_limit import (  # noqa: F401  # pytest finds these hooks here
    keep_stderr,
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_runtest_teardown,
    pytest_timeout_set_timer,
    pytest_xdist_make_scheduler,
)

from aioadapt import LoopThread
from aioadapt.serving import admin_socket

T = TypeVar("T")

TEST_ENDS_WITHIN_S = 20.0

SWAPPING_IN = {"parity", "loop", "stream", "kernel", "bad_input", "conversations"}
"""Folders whose tests also run over a loop that swaps engines in every iteration: those
with a loop of the test's own process."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "steady_engine: not of a connection that gets the other engine meanwhile, which "
        "takes it an iteration or two",
    )
    config.addinivalue_line(
        "markers",
        "ours_only: a promise of aioadapt's loops beyond what asyncio does",
    )
    config.addinivalue_line(
        "markers",
        "closes_what_is_watched: closes a descriptor before its watch is removed, "
        "which the loop keeps a note of until it closes",
    )
    config.add_cleanup(make_hermetic().remove)
    config.add_cleanup(keep_stderr())


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    what_lives_is_here_to_stay()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_kind" in metafunc.fixturenames:
        ours_only = metafunc.definition.get_closest_marker("ours_only") is not None
        kinds: tuple[str, ...] = OURS if ours_only else KINDS
        if metafunc.definition.get_closest_marker("steady_engine") is not None:
            kinds = (*kinds[:-1], "adaptive")
        elif not set(metafunc.module.__file__.split("/")) & SWAPPING_IN:
            kinds = kinds[:-1]
        metafunc.parametrize("loop_kind", kinds, indirect=True)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: no new descriptor, no new thread, nothing unclosed.

    And inside each loop no lent buffer, stray watch or operation.
    """
    before = Before.now()
    with looking_into_loops() as inside:
        yield
    assert leftovers(before) == []
    if request.node.get_closest_marker("closes_what_is_watched"):
        inside = [what for what in inside if not what.endswith(CLOSED_FIRST)]
    assert inside == []
    what_lives_is_here_to_stay()


@pytest.fixture
def loop_kind(request: pytest.FixtureRequest) -> str:
    """ "asyncio", "epoll" or "uring".  Shared tests must not depend on it."""
    return or_skip(request.param)


@pytest.fixture
def loop_factory(loop_kind: str, nothing_is_left: None) -> Iterator[LoopFactory]:
    """Makes loops; the test closes them, and then they must hold nothing."""
    make = factory_of(loop_kind)
    made: list[asyncio.AbstractEventLoop] = []

    def factory() -> asyncio.AbstractEventLoop:
        loop = make()
        made.append(loop)
        return loop

    yield factory
    for loop in made:
        assert loop.is_closed(), f"{loop!r} was not closed"
        assert leftovers_of_loop(loop) == []


@pytest.fixture
def reported() -> Reported:
    """The contexts given to the exception handler of :func:`loop`.

    A test that expects one removes it; any that remain fail the test.
    """
    return []


@pytest.fixture
def loop(
    loop_factory: LoopFactory, reported: Reported
) -> Iterator[asyncio.AbstractEventLoop]:
    loop = loop_factory()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    yield loop
    if not loop.is_closed():
        try:
            bring_to_rest(loop)
            assert busy_with_nothing(loop) == []
        finally:
            loop.close()
    assert reported == [], "the loop reported what no test expected"


def pytest_pycollect_makeitem(name: str, obj: Any) -> None:
    """Async tests run on :func:`loop`, unless a pytest plugin runs them."""
    if name.startswith("test_") and inspect.iscoroutinefunction(obj):
        marks = {mark.name for mark in getattr(obj, "pytestmark", [])}
        if not marks & {"asyncio", "anyio"}:
            pytest.mark.usefixtures("run")(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if "run" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    run = cast(Run, pyfuncitem.funcargs["run"])
    names = inspect.signature(test).parameters
    run(test(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def run(loop: asyncio.AbstractEventLoop) -> Run:
    def run(main: Coroutine[Any, Any, T], /) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(TEST_ENDS_WITHIN_S):
                return await main

        return loop.run_until_complete(bounded())

    return run


def bring_to_rest(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what asyncio.Runner would end before it closes a loop."""
    # A transport closed in the test's last line calls connection_lost an iteration
    # or two later.
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """For a TLS server on this machine."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """For a client that trusts :func:`authority`."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers put their admin sockets and clients look for them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(admin_socket, "SHARED", tmp_path / "shared")
    return tmp_path


@pytest.fixture
def seen(nothing_is_left: None) -> Iterator[Seen]:
    """A server's state, with a real loop in it."""
    with LoopThread("epoll") as epoll:
        yield Seen(epoll)


@pytest.fixture
def admin(seen: Seen) -> Iterator[RunningAdmin]:
    with running_admin(seen.state) as running:
        yield running


# Held while the test runs, so that no other process gets the port.


@pytest.fixture
def closed_port(nothing_is_left: None) -> Iterator[tuple[str, int]]:
    """An address where nothing listens for TCP."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def closed_udp_port(nothing_is_left: None) -> Iterator[tuple[str, int]]:
    """An address where nothing receives: its socket is connected to itself."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock.getsockname()
