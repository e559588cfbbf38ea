"""Passes the loops of a test to the plugin that runs it, as pytest collects it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import on_anyio, on_pytest_asyncio
from .chosen import ChosenLoop, chosen_loop

_NAME = "aioadapt-running"


class Running:
    """Registered with pytest when the first test is to run on one of our loops."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._backends = on_anyio.Backends()

    @contextmanager
    def on(self, engines: tuple[str, ...], metafunc: pytest.Metafunc) -> Iterator[None]:
        """Make the variants of the test, created meanwhile, run on these engines."""
        loops = [chosen_loop(engine) for engine in engines]
        if on_pytest_asyncio.will_run(metafunc.definition):
            with on_pytest_asyncio.on(loops, metafunc):
                yield
        else:
            if on_anyio.will_run(metafunc):
                self._backends.put(loops, metafunc)
            # Any other test, such as a plain function, stays as it is.
            yield

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        # Factories passed to pytest-asyncio's hook cannot carry marks, unlike the
        # parameters that we create ourselves.
        callspec = getattr(item, "callspec", None)
        for value in callspec.params.values() if callspec else ():
            if isinstance(value, ChosenLoop) and value.refusal:
                item.add_marker(pytest.mark.skip(reason=value.refusal))

    def pytest_collection_finish(self) -> None:
        on_pytest_asyncio.stay_known(self._config)


def running(config: pytest.Config) -> Running:
    found: Running | None = config.pluginmanager.get_plugin(_NAME)
    if found is None:
        found = Running(config)
        config.pluginmanager.register(found, _NAME)
    return found
