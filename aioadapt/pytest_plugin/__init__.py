"""A pytest plugin that runs existing async tests on aioadapt's loops, on request.

pytest loads this at every start, in every project where aioadapt is installed.  So
it adds an option and a mark, and until a test is to run on one of our loops it
imports nothing more and changes nothing.  How the loop gets to the plugin that runs
the test is in ``on_pytest_asyncio`` and ``on_anyio``.

It also has to load with old versions of pytest: hence hookwrapper=True and not
wrapper=True.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTION = "--aioadapt-engine"
ENGINES = ("epoll", "uring", "adaptive")
ALL = "all"
EACH = ("epoll", "uring")
"""What "all", and a mark without arguments, mean: a loop on each of the two engines."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("aioadapt", "event loops of aioadapt").addoption(
        OPTION,
        choices=(*ENGINES, ALL),
        default=None,
        help="run the async tests of pytest-asyncio and anyio on aioadapt's event loop "
        "with this engine; all runs each test once on epoll and once on uring",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "aioadapt(*engines): run this async test on aioadapt's event loops, 'epoll', "
        "'uring', 'adaptive' or, without arguments, the first two; overrides " + OPTION,
    )
    if _option(config) and not _somebody_runs_async_tests(config):
        raise pytest.UsageError(
            f"{OPTION} needs a plugin that runs async tests, but neither pytest-asyncio "
            "(1.0 or newer) nor anyio is active"
        )


def pytest_report_header(config: pytest.Config) -> str | None:
    option = _option(config)
    if option is None:
        return None
    from .chosen import chosen_loop

    loops = [chosen_loop(engine) for engine in _named(option)]
    return "aioadapt: async tests run on " + ", ".join(map(str, loops))


@pytest.hookimpl(hookwrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    engines = _engines_asked_for(metafunc)
    if engines:
        from .running import running

        with running(metafunc.config).on(engines, metafunc):
            yield
    else:
        yield


def _engines_asked_for(metafunc: pytest.Metafunc) -> tuple[str, ...]:
    mark = metafunc.definition.get_closest_marker("aioadapt")
    if mark is None:
        option = _option(metafunc.config)
        return _named(option) if option else ()
    unknown = [repr(name) for name in mark.args if name not in ENGINES]
    unknown += [f"{name}={value!r}" for name, value in mark.kwargs.items()]
    if unknown:
        pytest.fail(
            f"{metafunc.definition.nodeid}: mark.aioadapt takes the engines "
            f"{', '.join(map(repr, ENGINES))}, not {', '.join(unknown)}",
            pytrace=False,
        )
    # Without duplicates.
    return tuple(dict.fromkeys(mark.args)) or EACH


def _named(option: str) -> tuple[str, ...]:
    return EACH if option == ALL else (option,)


def _option(config: pytest.Config) -> str | None:
    option: str | None = config.getoption("aioadapt_engine")
    return option


def _somebody_runs_async_tests(config: pytest.Config) -> bool:
    # pytest-asyncio is detected by its option, since it may be loaded under any name.
    return config.getoption("asyncio_mode", ALL) != ALL or any(
        config.pluginmanager.has_plugin(name)
        for name in ("anyio", "anyio.pytest_plugin")
    )
