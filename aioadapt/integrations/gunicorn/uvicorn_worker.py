"""uvicorn's worker for gunicorn, on a loop of ours."""

from typing import Any, ClassVar

import uvicorn_worker  # type: ignore[import-untyped]

from .own_loop import EngineChecked


class UvicornWorker(EngineChecked, uvicorn_worker.UvicornWorker):
    """As ``-k uvicorn_worker.UvicornWorker``."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "aioadapt:new_event_loop",
        "http": "auto",
    }

    def run(self) -> None:
        # uvicorn makes its own, and would tell a refusal by a traceback.
        self.new_event_loop().close()
        super().run()
