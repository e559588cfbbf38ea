"""gunicorn's own ASGI worker, on a loop of ours."""

from typing import Any

from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

from .own_loop import OwnLoop


class AsgiWorker(OwnLoop, ASGIWorker):
    """As ``-k asgi``; the setting ``asgi_loop`` has nothing to choose from."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.asgi_loop not in ("auto", "asyncio"):
            log.warning(
                "asgi_loop %r is not used: $AIOADAPT_ENGINE chooses this worker's loop",
                cfg.asgi_loop,
            )
