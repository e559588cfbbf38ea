"""gunicorn workers that run on our loops.

    gunicorn -k aioadapt.integrations.gunicorn.UvicornWorker module:app
    gunicorn -k aioadapt.integrations.gunicorn.AsgiWorker module:app
    gunicorn -k aioadapt.integrations.gunicorn.AiohttpWorker module:app

Each is an existing worker with the same settings; only its loop is different.
gunicorn forks, and a loop belongs to the process that created it.  So it is created
in the worker process, and only after the worker has changed its user, since
whether io_uring is allowed may depend on the user.
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
    # The module of each worker, and the packages that it needs.
    _WORKERS = {
        "AiohttpWorker": ("aiohttp_worker", ["gunicorn", "aiohttp"]),
        "AsgiWorker": ("asgi_worker", ["gunicorn"]),
        "UvicornWorker": ("uvicorn_worker", ["gunicorn", "uvicorn-worker", "uvicorn"]),
    }

    class _CannotServeError(ServeError, RuntimeError):
        """A RuntimeError, which gunicorn prints as one line before it exits."""

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
