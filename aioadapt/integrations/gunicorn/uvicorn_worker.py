"""uvicorn's gunicorn worker, on our loop."""

from typing import Any, ClassVar

import uvicorn_worker  # type: ignore[import-untyped]

from .own_loop import EngineChecked


class UvicornWorker(EngineChecked, uvicorn_worker.UvicornWorker):
    """Like ``-k uvicorn_worker.UvicornWorker``."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "aioadapt:new_event_loop",
        "http": "auto",
    }

    def run(self) -> None:
        # uvicorn creates the loop itself, and would report an error with a traceback.
        self.new_event_loop().close()
        super().run()
