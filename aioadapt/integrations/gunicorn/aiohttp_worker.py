"""aiohttp's worker for gunicorn, on a loop of ours."""

from aiohttp.worker import GunicornWebWorker

from .own_loop import OwnLoop


class AiohttpWorker(OwnLoop, GunicornWebWorker):
    """As ``-k aiohttp.GunicornWebWorker``."""
