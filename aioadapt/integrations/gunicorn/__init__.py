"""Workers for gunicorn, whose loops are ours.

    gunicorn -k aioadapt.integrations.gunicorn.UvicornWorker module:app
    gunicorn -k aioadapt.integrations.gunicorn.AsgiWorker module:app
    gunicorn -k aioadapt.integrations.gunicorn.AiohttpWorker module:app

Each is somebody else's worker but for the loop, and takes the same settings.
gunicorn forks: a loop belongs to the process that made it, and is therefore made
in the worker, and after the worker has changed its user, since what io_uring
allows may depend on who asks.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from aioadapt import ServeError

from ..requirements import require

if TYPE_CHECKING:
    from .aiohttp_worker import AiohttpWorker as AiohttpWorker
    from .asgi_worker import AsgiWorker as AsgiWorker
    from .uvicorn_worker import UvicornWorker as UvicornWorker
else:
    # Name: its module, and the packages that it needs.
    _WORKERS = {
        "AiohttpWorker": ("aiohttp_worker", ["gunicorn", "aiohttp"]),
        "AsgiWorker": ("asgi_worker", ["gunicorn"]),
        "UvicornWorker": ("uvicorn_worker", ["gunicorn", "uvicorn-worker", "uvicorn"]),
    }

    class _CannotServeError(ServeError, RuntimeError):
        """gunicorn shows a RuntimeError as one line, and ends."""

    def __getattr__(name):
        if name not in _WORKERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, packages = _WORKERS[name]
        try:
            for package in packages:
                require(package)
        except ServeError as error:
            raise _CannotServeError(f"aioadapt: {error}") from None
        return getattr(import_module(f".{module}", __name__), name)
