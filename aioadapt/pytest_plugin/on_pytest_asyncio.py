"""Tests that pytest-asyncio runs: its hook since 1.4, its policy fixture before.

Once any plugin implements the hook ``pytest_asyncio_loop_factories``, it must answer
for *every* async test.  So ours is registered only while pytest creates the variants
of a test that is to run on our loops; other tests are created as if it did not
exist.  After the collection it is registered permanently, and no longer called:
because of its presence pytest-asyncio checks before each test whether the loop
changes, and tears down the async fixtures of the previous loop.

Before 1.4 the loop comes from the fixture ``event_loop_policy``, which can be
parametrized for each test.
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
    """Whether pytest-asyncio runs this test function, on a loop that we may choose."""
    mode = definition.config.getoption("asyncio_mode", _UNKNOWN)
    if mode is _UNKNOWN or not _is_async(definition.obj):
        return False
    mark = definition.get_closest_marker("asyncio")
    if mark is not None:
        # A test whose mark names its factories keeps those.
        return not mark.kwargs.get("loop_factories")
    return bool((mode or definition.config.getini("asyncio_mode")) == "auto")


def _is_async(function: Any) -> bool:
    if getattr(function, "is_hypothesis_test", False):
        function = function.hypothesis.inner_test
    return inspect.iscoroutinefunction(function)


@contextmanager
def on(loops: Sequence[ChosenLoop], metafunc: pytest.Metafunc) -> Iterator[None]:
    """Make the variants of the test, which pytest creates meanwhile, run on *loops*."""
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
    """Register the hook permanently; see the top of this file."""
    if _has_hook(config):
        config.pluginmanager.register(LoopFactories(()), _NAME)


def _has_hook(config: pytest.Config) -> bool:
    return hasattr(config.hook, "pytest_asyncio_loop_factories")


class LoopFactories:
    """pytest-asyncio's hook; the project's own is used while ours is not registered."""

    def __init__(self, loops: Sequence[ChosenLoop]) -> None:
        self._loops = {loop.engine: loop for loop in loops}

    @pytest.hookimpl(tryfirst=True)
    def pytest_asyncio_loop_factories(self) -> Mapping[str, ChosenLoop]:
        return self._loops


def _name_it(loop: ChosenLoop, metafunc: pytest.Metafunc) -> None:
    """Add the engine to the test's id: pytest-asyncio hides a single factory's name."""
    metafunc.fixturenames.append("aioadapt_engine")
    _parametrize(metafunc, "aioadapt_engine", [loop.engine])


class PolicyFixtures:
    """Tears down what runs on a loop before the policy changes; needed before 1.4."""

    def __init__(self) -> None:
        self._last: Any = None  # the last fixture or parameter that set a policy

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        if fixturedef.argname == _POLICY:
            # Tests on our loops and other tests get their policies from different
            # fixture definitions, and neither is finished when the other is set up.
            if self._last not in (None, fixturedef):
                self._last.finish(request)
            self._last = fixturedef
        yield
        if _loop_scope_of(fixturedef, request.config):
            # Finalizers run last in, first out, and this one is added after the loop's
            # own fixture.
            policy = request._get_active_fixturedef(_POLICY)
            policy.addfinalizer(partial(fixturedef.finish, request=request))


def _put_policies(loops: Sequence[ChosenLoop], metafunc: pytest.Metafunc) -> None:
    if not _has_loop_scopes(metafunc.config):
        pytest.fail(
            f"{metafunc.definition.nodeid}: running on aioadapt's event loops needs "
            "pytest-asyncio 1.0 or newer",
            pytrace=False,
        )
    plugins = metafunc.config.pluginmanager
    if not plugins.has_plugin(_NAME):
        plugins.register(PolicyFixtures(), _NAME)
    policies = [loop.param(loop.policy, id=loop.engine) for loop in loops]
    _parametrize(metafunc, _POLICY, policies, scope=_loop_scope(metafunc))


def _has_loop_scopes(config: pytest.Config) -> bool:
    # Some versions before 1.0 have the policy fixture, but determine the scope of the
    # loop in another way.
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
    # Invalid scopes are left for pytest-asyncio to report.
    return max((s for s in scopes if s in _SCOPES), key=_SCOPES.index, default=None)


def _loop_scope_of(fixturedef: Any, config: pytest.Config) -> Any:
    """The loop scope of a fixture; None if it is neither async nor asks for a loop."""
    function = fixturedef.func
    own = getattr(function, "_loop_scope", None)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        default = config.getini("asyncio_default_fixture_loop_scope")
        return own or default or fixturedef.scope
    return own


def _parametrize(
    metafunc: pytest.Metafunc, name: str, values: Sequence[Any], **scope: Any
) -> None:
    # A mark overrides the params of a fixture of that name.  It goes in front, so that
    # the engine comes first in the id, as with pytest-asyncio's hook.
    mark = pytest.mark.parametrize(name, values, **scope)
    metafunc.definition.add_marker(mark, append=False)
