"""Tests that pytest-asyncio runs: its hook since 1.4, its policy fixture before.

The hook ``pytest_asyncio_loop_factories`` must answer for *every* async test as
soon as anybody implements it.  So ours is registered only while the variants of
a test of ours are made; the tests beside it are made as if there were none.  Once
all are made it is registered for good, and no longer called: that it is there has
pytest-asyncio look, before each test, whether the loop changes, and end the async
fixtures of the one before.

Before 1.4 the loop comes from the fixture ``event_loop_policy``, which each test
may be given another value for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from .chosen import ChosenLoop

_UNKNOWN = object()
_SCOPES = ("function", "class", "module", "package", "session")
_POLICY = "event_loop_policy"
_TEST_LOOP_SCOPE = "asyncio_default_test_loop_scope"
_NAME = "aioadapt-on-pytest-asyncio"


def will_run(definition: Any) -> bool:
    """Is this test function one of pytest-asyncio's?"""
    mode = definition.config.getoption("asyncio_mode", _UNKNOWN)
    if mode is _UNKNOWN or not _is_async(definition.obj):
        return False
    mark = definition.get_closest_marker("asyncio")
    if mark is not None:
        # Who names the factories of a test by hand wants those.
        return not mark.kwargs.get("loop_factories")
    return bool((mode or definition.config.getini("asyncio_mode")) == "auto")


def _is_async(function: Any) -> bool:
    if getattr(function, "is_hypothesis_test", False):
        function = function.hypothesis.inner_test
    return inspect.iscoroutinefunction(function)


@contextmanager
def on(loops: Sequence[ChosenLoop], metafunc: pytest.Metafunc) -> Iterator[None]:
    """The variants of the test that are made meanwhile run on these loops."""
    if not _has_hook(metafunc.config):
        _put_policies(loops, metafunc)
        yield
        return
    if len(loops) == 1 and hasattr(pytest, "HIDDEN_PARAM"):
        _name_it(loops[0], metafunc)
    plugins = metafunc.config.pluginmanager
    factories = LoopFactories(loops)
    plugins.register(factories, _NAME)
    yield
    plugins.unregister(factories)


def stay_known(config: pytest.Config) -> None:
    if _has_hook(config):
        config.pluginmanager.register(LoopFactories(()), _NAME)


def _has_hook(config: pytest.Config) -> bool:
    return hasattr(config.hook, "pytest_asyncio_loop_factories")


class LoopFactories:
    """pytest-asyncio's hook; the project's own has its say where ours is not there."""

    def __init__(self, loops: Sequence[ChosenLoop]) -> None:
        self._loops = {loop.engine: loop for loop in loops}

    @pytest.hookimpl(tryfirst=True)
    def pytest_asyncio_loop_factories(self) -> Mapping[str, ChosenLoop]:
        return self._loops


def _name_it(loop: ChosenLoop, metafunc: pytest.Metafunc) -> None:
    """pytest-asyncio hides the name of an only factory; the test's id is to have it."""
    metafunc.fixturenames.append("aioadapt_engine")
    _parametrize(metafunc, "aioadapt_engine", [loop.engine])


class PolicyFixtures:
    """Ends what runs on a loop before another policy comes; until 1.4 nobody else does."""

    def __init__(self) -> None:
        self._last: Any = None  # of the fixtures and parameters that give a policy

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        if fixturedef.argname == _POLICY:
            # A test of ours and one beside it have their policies from different
            # places, and neither would hear of the other's end.
            if self._last not in (None, fixturedef):
                self._last.finish(request)
            self._last = fixturedef
        yield
        if _loop_scope_of(fixturedef, request.config):
            # Last come, first to end: this is after the loop's own fixture.
            policy = request._get_active_fixturedef(_POLICY)
            policy.addfinalizer(partial(fixturedef.finish, request=request))


def _put_policies(loops: Sequence[ChosenLoop], metafunc: pytest.Metafunc) -> None:
    if not _has_loop_scopes(metafunc.config):
        pytest.fail(
            f"{metafunc.definition.nodeid}: to run on aioadapt's event loops it needs "
            "pytest-asyncio 1.0 or newer",
            pytrace=False,
        )
    plugins = metafunc.config.pluginmanager
    if not plugins.has_plugin(_NAME):
        plugins.register(PolicyFixtures(), _NAME)
    policies = [loop.param(loop.policy, id=loop.engine) for loop in loops]
    _parametrize(metafunc, _POLICY, policies, scope=_loop_scope(metafunc))


def _has_loop_scopes(config: pytest.Config) -> bool:
    # Some versions before 1.0 have the policy's fixture, and a loop's scope that is
    # found in other ways.
    try:
        config.getini(_TEST_LOOP_SCOPE)
    except (KeyError, ValueError):
        return False
    return True


def _loop_scope(metafunc: pytest.Metafunc) -> Any:
    """The scope of the longest-lived loop that the test or its fixtures run on."""
    config = metafunc.config
    mark = metafunc.definition.get_closest_marker("asyncio")
    kwargs = mark.kwargs if mark is not None else {}
    scopes = [
        kwargs.get("loop_scope")
        or kwargs.get("scope")
        or config.getini(_TEST_LOOP_SCOPE)
    ]
    scopes += [
        _loop_scope_of(fixturedef, config)
        for name in metafunc.fixturenames
        for fixturedef in metafunc._arg2fixturedefs.get(name, ())[-1:]
    ]
    # What is no scope is pytest-asyncio's to complain of.
    return max((s for s in scopes if s in _SCOPES), key=_SCOPES.index, default=None)


def _loop_scope_of(fixturedef: Any, config: pytest.Config) -> Any:
    """None for a fixture that is not async, and does not ask for a loop either."""
    function = fixturedef.func
    own = getattr(function, "_loop_scope", None)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        default = config.getini("asyncio_default_fixture_loop_scope")
        return own or default or fixturedef.scope
    return own


def _parametrize(
    metafunc: pytest.Metafunc, name: str, values: Sequence[Any], **scope: Any
) -> None:
    # As a mark it goes before the params of a fixture of that name; in front, so
    # that the engine comes first in the id, where pytest-asyncio's hook has it.
    mark = pytest.mark.parametrize(name, values, **scope)
    metafunc.definition.add_marker(mark, append=False)
