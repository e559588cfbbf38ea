"""Hands a test's loops to whoever will run it, while pytest makes its variants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import on_anyio, on_pytest_asyncio
from .chosen import ChosenLoop, chosen_loop

_NAME = "aioadapt-running"


class Running:
    """Of one pytest: registered when the first of its tests is asked for a loop of ours."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._backends = on_anyio.Backends()

    @contextmanager
    def on(self, engines: tuple[str, ...], metafunc: pytest.Metafunc) -> Iterator[None]:
        """The variants of the test that are made meanwhile run on these engines."""
        loops = [chosen_loop(engine) for engine in engines]
        if on_pytest_asyncio.will_run(metafunc.definition):
            with on_pytest_asyncio.on(loops, metafunc):
                yield
        else:
            if on_anyio.will_run(metafunc):
                self._backends.put(loops, metafunc)
            # Any other test, a plain function say, stays as it is.
            yield

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        # What is given to pytest-asyncio's hook cannot carry marks, as the
        # parameters that we make ourselves do.
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
