"""Objects of another loop: the error names the cause and what to do."""

import asyncio
import logging
from typing import Any

import pytest
from serving.served import (
    App,
    ask,
    engine_here,
    serving,
)

from aioadapt import ForeignLoopError
from aioadapt.serving.foreign import is_complaint


@pytest.mark.parametrize(
    "said",
    [
        "Task <Task pending> got Future <Future pending> attached to a different loop",
        "<asyncio.locks.Lock object at 0x7f [locked]> is bound to a different event loop",
        "The future belongs to a different loop than the one specified as the loop "
        "argument",
        "web.Application instance initialized with different loop",
        "Session and connector has to use same event loop",
        "Non-thread-safe operation invoked on an event loop other than the current one",
    ],
)
def test_the_words_are_known(said: str) -> None:
    assert is_complaint(RuntimeError(said))


@pytest.mark.parametrize(
    "said", ["Event loop is closed", "no running event loop", "different loophole"]
)
def test_other_words_are_left_alone(said: str) -> None:
    assert not is_complaint(RuntimeError(said))


class Shares(App):
    """It uses one future on both loops, as with a pool created only once."""

    future: "asyncio.Future[None] | None" = None

    async def before_answering(self, scope: Any) -> None:
        if self.future is None:
            self.future = asyncio.get_running_loop().create_future()
        elif self.future.get_loop() is not asyncio.get_running_loop():
            await self.future


async def test_a_request_that_meets_one_logs_the_cause_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        async with serving(Shares()) as server:
            assert await ask(server) == "epoll"
            await server.switch("uring")
            with pytest.raises(AssertionError, match="Internal Server Error"):
                await ask(server)
            # Other requests still work.
            await server.switch("epoll")
            assert await ask(server) == "epoll"

    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert len(errors) == 1
    assert isinstance(errors[0], ForeignLoopError)
    assert "attached to a different loop" in str(errors[0])
    assert "runs on two loops" in str(errors[0])
    assert "--factory" in str(errors[0])
    assert isinstance(errors[0].__cause__, RuntimeError)


@pytest.mark.parametrize("politely", [False, True])
async def test_a_start_up_that_meets_one_says_so_in_the_switch(politely: bool) -> None:
    class Starts(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan" and engine_here() == "uring" and politely:
                # Starlette catches the error and reports it like this.
                await receive()
                message = "Traceback\nRuntimeError: attached to a different loop"
                await send({"type": "lifespan.startup.failed", "message": message})
                return
            await super().__call__(scope, receive, send)

        async def on_life(self, kind: str) -> None:
            if engine_here() == "uring":
                raise RuntimeError("attached to a different loop")

    async with serving(Starts(), log_level="critical") as server:
        failed = (await server.switch("uring")).failed
        assert "attached to a different loop" in failed
        assert "--factory" in failed


async def test_other_exceptions_pass_as_they_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails(App):
        async def before_answering(self, scope: Any) -> None:
            raise KeyError("name")

    with caplog.at_level(logging.ERROR):
        async with serving(Fails()) as server:
            with pytest.raises(AssertionError, match="Internal Server Error"):
                await ask(server)

    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in errors] == [KeyError]
