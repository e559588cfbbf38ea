"""gunicorn's own ASGI worker, on our loop."""

from typing import Any

from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

from .own_loop import OwnLoop


class AsgiWorker(OwnLoop, ASGIWorker):
    """Like ``-k asgi``, but the setting ``asgi_loop`` is not used."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.asgi_loop not in ("auto", "asyncio"):
            log.warning(
                "Ignoring asgi_loop %r: $AIOADAPT_ENGINE chooses this worker's loop",
                cfg.asgi_loop,
            )
