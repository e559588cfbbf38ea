"""What the adaptive server's tests need from this machine, and how they run."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from loops import Run
from serving.served import WITHIN_S

import aioadapt

T = TypeVar("T")


@pytest.fixture(autouse=True)
def both_engines() -> None:
    support = aioadapt.uring_support()
    if not support.available:
        pytest.skip(f"no io_uring here: {support.reason}")


@pytest.fixture
def run() -> Run:
    """Runs async tests on a control loop, within a time limit."""

    def run(main: Coroutine[Any, Any, T], /) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(WITHIN_S):
                return await main

        with asyncio.Runner(loop_factory=aioadapt.EpollEventLoop) as runner:
            return runner.run(bounded())

    return run
