"""aiohttp's gunicorn worker, on our loop."""

from aiohttp.worker import GunicornWebWorker

from .own_loop import OwnLoop


class AiohttpWorker(OwnLoop, GunicornWebWorker):
    """Like ``-k aiohttp.GunicornWebWorker``."""
