"""Engines are chosen by name; errors for unknown or missing ones say what to do."""

import asyncio
import errno
import importlib.util
import logging
import sys
import types
from collections.abc import Iterator

import pytest
from confined import run_confined

import aioadapt
from aioadapt import engine
from aioadapt._kernel.refusal import Cause, Refusal

REFUSAL = Refusal(Cause.SECCOMP, errno.EPERM, "cannot set up an io_uring (because)")


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own loop stands in for a loop that is not in this build."""
    for module_name, class_name in (
        ("aioadapt.epoll_loop", "EpollEventLoop"),
        ("aioadapt.uring_loop", "UringEventLoop"),
    ):
        if importlib.util.find_spec(module_name) is None:
            module = types.ModuleType(module_name)
            stand_in = type(class_name, (asyncio.SelectorEventLoop,), {})
            setattr(module, class_name, stand_in)
            monkeypatch.setitem(sys.modules, module_name, module)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIOADAPT_ENGINE", raising=False)
    monkeypatch.setattr(engine, "_has_told_of_fallback", False)


@pytest.fixture
def with_uring(monkeypatch: pytest.MonkeyPatch) -> None:
    if not aioadapt.uring_support().available:
        pytest.skip(aioadapt.uring_support().reason)


@pytest.fixture
def without_uring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "uring_refusal", lambda: REFUSAL)


def kind_of_loop(name: str | None = None) -> str:
    loop = aioadapt.new_event_loop(name)
    loop.close()
    return type(loop).__name__


def test_epoll_gives_the_epoll_loop() -> None:
    assert kind_of_loop("epoll") == "EpollEventLoop"


def test_epoll_does_not_ask_after_io_uring(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("nobody asked for io_uring")

    monkeypatch.setattr(engine, "uring_refusal", never)

    assert kind_of_loop("epoll") == "EpollEventLoop"


@pytest.mark.usefixtures("with_uring")
@pytest.mark.parametrize("name", ["uring", "auto", None])
def test_uring_auto_and_nothing_give_the_uring_loop_where_it_works(
    name: str | None,
) -> None:
    assert kind_of_loop(name) == "UringEventLoop"


@pytest.mark.usefixtures("without_uring")
def test_auto_falls_back_to_epoll_and_says_why_once_at_info(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "aioadapt")

    assert kind_of_loop("auto") == "EpollEventLoop"
    assert kind_of_loop("auto") == "EpollEventLoop"

    assert caplog.record_tuples == [
        (
            "aioadapt",
            logging.INFO,
            "engine 'auto' falls back to epoll: cannot set up an io_uring (because)",
        )
    ]


def test_adaptive_gives_the_adaptive_loop() -> None:
    assert kind_of_loop("adaptive") == "AdaptiveEventLoop"


@pytest.mark.usefixtures("without_uring")
def test_an_adaptive_loop_says_once_why_it_is_on_epoll_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="aioadapt"):
        assert kind_of_loop("adaptive") == kind_of_loop("adaptive")

    assert caplog.messages == [
        "engine 'adaptive' falls back to epoll: cannot set up an io_uring (because)"
    ]


@pytest.mark.usefixtures("without_uring")
def test_uring_raises_with_the_cause_where_it_is_not_to_be_had() -> None:
    with pytest.raises(aioadapt.UringUnavailableError) as caught:
        aioadapt.new_event_loop("uring")

    assert caught.value.errno == errno.EPERM
    assert "(because). aioadapt.EpollEventLoop works without it" in str(caught.value)
    assert isinstance(caught.value, (aioadapt.AioadaptError, OSError))


@pytest.mark.skipif(
    not aioadapt.uring_support().available, reason=aioadapt.uring_support().reason
)
def test_uring_under_a_real_filter_raises_and_names_it() -> None:
    printed = run_confined(
        """
try:
    aioadapt.new_event_loop("uring")
except aioadapt.UringUnavailableError as error:
    print(error.errno, error)
""",
        deny=[("io_uring_setup", errno.EPERM, None)],
    )

    assert printed.startswith(
        "1 [Errno 1] cannot set up an io_uring of 8 entries: Operation not permitted "
        "(likely cause: a seccomp filter forbids it"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("aioadapt.epoll_loop") is None,
    reason="the epoll loop is not in this build",
)
def test_auto_under_a_real_filter_runs_on_epoll() -> None:
    printed = run_confined(
        """
import asyncio
async def main():
    return type(asyncio.get_running_loop()).__name__
print(aioadapt.run(main()))
""",
        deny=[("io_uring_setup", errno.EPERM, None)],
    )

    assert printed == "EpollEventLoop"


def test_the_environment_names_the_engine_where_no_argument_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", "epoll")

    assert kind_of_loop() == "EpollEventLoop"


def test_an_argument_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", "kqueue")

    assert kind_of_loop("epoll") == "EpollEventLoop"


def test_an_empty_environment_variable_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", "")

    assert engine.engine_name(None) == "auto"


def test_an_unknown_argument_is_refused_with_the_known_ones() -> None:
    with pytest.raises(aioadapt.UnknownEngineError) as caught:
        aioadapt.new_event_loop("kqueue")

    assert str(caught.value) == (
        "there is no engine 'kqueue' (from the argument `engine`); "
        "known: 'auto', 'adaptive', 'epoll', 'uring'"
    )
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, aioadapt.AioadaptError)


def test_an_unknown_name_in_the_environment_is_refused_with_its_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOADAPT_ENGINE", "io_uring")

    with pytest.raises(aioadapt.UnknownEngineError, match=r"from \$AIOADAPT_ENGINE"):
        aioadapt.new_event_loop()


async def which_loop() -> tuple[str, bool]:
    loop = asyncio.get_running_loop()
    return type(loop).__name__, loop.get_debug()


@pytest.mark.parametrize("debug", [True, False])
def test_run_runs_on_the_engine_asked_for_and_passes_debug_on(debug: bool) -> None:
    ran_on = aioadapt.run(which_loop(), engine="epoll", debug=debug)

    assert ran_on == ("EpollEventLoop", debug)


def test_run_closes_its_loop() -> None:
    async def main() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert aioadapt.run(main(), engine="epoll").is_closed()


def test_run_inside_a_running_loop_is_an_error() -> None:
    async def main() -> None:
        inner = which_loop()
        try:
            with pytest.raises(RuntimeError, match="running event loop"):
                aioadapt.run(inner, engine="epoll")
        finally:
            inner.close()

    asyncio.run(main())


def test_run_with_an_unknown_engine_runs_nothing() -> None:
    main = which_loop()
    try:
        with pytest.raises(aioadapt.UnknownEngineError):
            aioadapt.run(main, engine="kqueue")
    finally:
        main.close()


@pytest.fixture
def runner_of_factory() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(
        loop_factory=lambda: aioadapt.new_event_loop("epoll")
    ) as runner:
        yield runner


def test_new_event_loop_serves_as_a_loop_factory(
    runner_of_factory: asyncio.Runner,
) -> None:
    assert runner_of_factory.run(which_loop())[0] == "EpollEventLoop"
