"""The base of the workers: creates our loop in the worker's own process."""

import asyncio
from typing import Any

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from aioadapt import AioadaptError, UnknownEngineError, new_event_loop
from aioadapt.engine import engine_name


class EngineChecked(Worker):
    """A worker that stops gunicorn with one line if it cannot get a loop."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by gunicorn before it forks, so only the engine's name is checked."""
        try:
            engine_name(None)
        except UnknownEngineError as error:
            # gunicorn prints a RuntimeError as one line.
            raise RuntimeError(f"aioadapt: {error}") from None
        inherited = getattr(super(), "check_config", None)
        if inherited is not None:
            inherited(cfg, log)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        try:
            return new_event_loop()
        except AioadaptError as error:
            self.log.error("aioadapt: %s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None


class OwnLoop(EngineChecked):
    """Replaces the loop that a worker creates at the start of ``init_process``.

    gunicorn calls ``init_signals`` right after the worker has changed its user, and
    before the loop is used.
    """

    loop: Any  # the original worker's until init_signals, ours from then on

    def init_signals(self) -> None:
        if self.loop is not None:
            self.loop.close()
        self.loop = self.new_event_loop()
        asyncio.set_event_loop(self.loop)
        super().init_signals()
