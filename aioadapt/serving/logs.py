"""Logging for a server that is the whole program.

:class:`aioadapt.AdaptiveServer`, used from code, leaves logging to the program.
"""

import copy
import logging.config

from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import TRACE_LOG_LEVEL


def configure(log_level: str) -> None:
    """As in uvicorn: logs go to standard error, the access log to standard output."""
    level = TRACE_LOG_LEVEL if log_level == "trace" else log_level.upper()
    settings = copy.deepcopy(LOGGING_CONFIG)
    loggers = settings["loggers"]
    for name in ("aioadapt", "aiohttp", "asyncio"):
        loggers[name] = {"handlers": ["default"], "level": level, "propagate": False}
    # Below WARNING asyncio reports every server and subprocess.
    loggers["asyncio"]["level"] = "WARNING"
    settings["formatters"]["plain"] = settings["formatters"]["default"]
    settings["handlers"]["plain"] = {
        **settings["handlers"]["access"],
        "formatter": "plain",
    }
    # aiohttp formats its access lines itself; they go where uvicorn's go.
    loggers["aiohttp.access"] = {
        "handlers": ["plain"],
        "level": level,
        "propagate": False,
    }
    logging.config.dictConfig(settings)
