"""Tests that anyio runs: ``anyio_backend`` with the option ``loop_factory``.

Every test that depends on that fixture runs on anyio's loop, including plain
functions that use async fixtures.  Values of the fixture that mean asyncio are
replaced by one value per engine; trio and values that only the project understands
stay.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from .chosen import ChosenLoop

_FIXTURE = "anyio_backend"
_ParameterSet: Any = type(pytest.param(None))


def will_run(metafunc: pytest.Metafunc) -> bool:
    return _FIXTURE in metafunc.fixturenames


class Backends:
    """The replaced values of each ``anyio_backend`` fixture.

    They are created once per fixture, since pytest keeps a fixture only while its
    parameter is the same object.
    """

    def __init__(self) -> None:
        self._made: dict[Any, list[Any]] = {}

    def put(self, loops: Sequence[ChosenLoop], metafunc: pytest.Metafunc) -> None:
        """Make the variants of the test, which pytest creates next, run on *loops*."""
        own_markers = metafunc.definition.own_markers
        for mark in metafunc.definition.iter_markers("parametrize"):
            if mark.args[:1] in [(_FIXTURE,), ([_FIXTURE],), ((_FIXTURE,),)]:
                # The test names its backends itself.  A mark of its class or module
                # is shared with other tests, and stays as it is.
                if mark in own_markers and len(mark.args) == 2:
                    own_markers[own_markers.index(mark)] = _with_loops(mark, loops)
                return
        fixture = metafunc._arg2fixturedefs[_FIXTURE][-1]
        key = (fixture, *loops)
        if key not in self._made:
            self._made[key] = list(_values_of(fixture, loops))
        # A mark overrides the params of the fixture.
        metafunc.definition.add_marker(
            pytest.mark.parametrize(_FIXTURE, self._made[key], indirect=True)
            if fixture.params is not None
            else pytest.mark.parametrize(_FIXTURE, self._made[key], scope=fixture.scope)
        )


def _with_loops(mark: pytest.Mark, loops: Sequence[ChosenLoop]) -> pytest.Mark:
    names, values = mark.args
    how = dict(mark.kwargs)
    expanded = list(_expanded(values, how.pop("ids", None), loops))
    return pytest.mark.parametrize(names, expanded, **how).mark


def _values_of(fixture: Any, loops: Sequence[ChosenLoop]) -> Iterator[Any]:
    if fixture.params is not None:
        return _expanded(fixture.params, fixture.ids, loops)
    # Usually the fixture needs nothing and returns a constant.  What any other
    # returns is unknown until the test runs; it is assumed to be asyncio.
    is_plain = not fixture.argnames and not inspect.isgeneratorfunction(fixture.func)
    return _expanded([fixture.func() if is_plain else "asyncio"], None, loops)


def _expanded(
    values: Sequence[Any], ids: Any, loops: Sequence[ChosenLoop]
) -> Iterator[Any]:
    seen: list[Any] = []
    for index, entry in enumerate(values):
        (value,), marks, name = (
            entry if isinstance(entry, _ParameterSet) else pytest.param(entry)
        )
        options = _options_of_asyncio(value)
        if name is None and ids is not None:
            name = ids(value) if callable(ids) else ids[index]
        if options is None:
            yield pytest.param(value, marks=marks, id=name)
            continue
        for loop in loops:
            backend = ("asyncio", {**options, "loop_factory": loop})
            # asyncio with and without uvloop have become the same.
            if backend not in seen:
                seen.append(backend)
                name = name or "asyncio"
                yield loop.param(backend, id=f"{name}+{loop.engine}", marks=marks)


def _options_of_asyncio(backend: object) -> dict[str, Any] | None:
    """The other options of *backend* if it is asyncio, else None."""
    match backend:
        case "asyncio":
            return {}
        case ("asyncio", dict() as options):
            return {k: v for k, v in options.items() if k != "use_uvloop"}
    return None
