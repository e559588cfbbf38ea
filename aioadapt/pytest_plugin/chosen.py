"""The loop that a test is to run on, and whether it is available here."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from aioadapt import new_event_loop, uring_support


@dataclass(frozen=True)
class ChosenLoop:
    """A loop factory that knows its engine.

    There is one object per engine, since pytest keeps a fixture only while its
    parameter is the same object.
    """

    engine: str
    refusal: str
    """Why the loop is not available here; "" if it is."""

    def __call__(self) -> asyncio.AbstractEventLoop:
        return new_event_loop(self.engine)

    @cached_property
    def policy(self) -> Any:
        """The same as a policy, for plugins that accept no factory."""
        with warnings.catch_warnings():
            # asyncio deprecates policies in Python 3.14, but the user did not choose
            # one here.  pytest-asyncio suppresses the warning likewise.
            warnings.simplefilter("ignore", DeprecationWarning)
            from aioadapt import EventLoopPolicy

            return EventLoopPolicy(self.engine)

    def __str__(self) -> str:
        return f"{self.engine} ({self.refusal})" if self.refusal else self.engine

    def marks(self) -> list[pytest.MarkDecorator]:
        """The marks of a parameter with this loop: a skip if it is not available."""
        return [pytest.mark.skip(reason=self.refusal)] if self.refusal else []

    def param(self, value: object, *, id: str, marks: Any = ()) -> Any:  # noqa: A002
        """*value* as a parameter of a test that runs on this loop."""
        return pytest.param(value, id=id, marks=[*marks, *self.marks()])


_LOOPS: dict[str, ChosenLoop] = {}


def chosen_loop(engine: str) -> ChosenLoop:
    if engine not in _LOOPS:
        refusal = ""
        if engine == "uring" and not (support := uring_support()).available:
            refusal = f"io_uring cannot be used: {support.reason}"
        _LOOPS[engine] = ChosenLoop(engine, refusal)
    return _LOOPS[engine]
