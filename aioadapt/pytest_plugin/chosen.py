"""The loop that a test was asked to run on, and whether it is to be had here."""

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

    There is one of each engine: pytest keeps a fixture for as long as it sees
    the same parameter.
    """

    engine: str
    refusal: str
    """Why there is no such loop here; empty where there is."""

    def __call__(self) -> asyncio.AbstractEventLoop:
        return new_event_loop(self.engine)

    @cached_property
    def policy(self) -> Any:
        """For who takes no factory."""
        with warnings.catch_warnings():
            # asyncio deprecates policies in Python 3.14; who runs the tests has not
            # chosen one.  pytest-asyncio keeps that warning to itself likewise.
            warnings.simplefilter("ignore", DeprecationWarning)
            from aioadapt import EventLoopPolicy

            return EventLoopPolicy(self.engine)

    def __str__(self) -> str:
        return f"{self.engine} ({self.refusal})" if self.refusal else self.engine

    def marks(self) -> list[pytest.MarkDecorator]:
        """For the parameter that this loop is: a reason to skip, where there is one."""
        return [pytest.mark.skip(reason=self.refusal)] if self.refusal else []

    def param(self, value: object, *, id: str, marks: Any = ()) -> Any:  # noqa: A002
        """*value* as a parameter of a test that is to run on this loop."""
        return pytest.param(value, id=id, marks=[*marks, *self.marks()])


_LOOPS: dict[str, ChosenLoop] = {}


def chosen_loop(engine: str) -> ChosenLoop:
    if engine not in _LOOPS:
        refusal = ""
        if engine == "uring" and not (support := uring_support()).available:
            refusal = f"no io_uring here: {support.reason}"
        _LOOPS[engine] = ChosenLoop(engine, refusal)
    return _LOOPS[engine]
