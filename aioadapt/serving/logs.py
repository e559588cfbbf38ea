"""Where a server's logs go when it is the whole program.

From code, :class:`aioadapt.AdaptiveServer` leaves that to the program.
"""

import copy
import logging.config

from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import TRACE_LOG_LEVEL


def configure(log_level: str) -> None:
    """As uvicorn's: to standard error, and the access log to standard output."""
    level = TRACE_LOG_LEVEL if log_level == "trace" else log_level.upper()
    settings = copy.deepcopy(LOGGING_CONFIG)
    loggers = settings["loggers"]
    for name in ("aioadapt", "aiohttp", "asyncio"):
        loggers[name] = {"handlers": ["default"], "level": level, "propagate": False}
    # asyncio tells of each server and subprocess; what goes wrong is a warning.
    loggers["asyncio"]["level"] = "WARNING"
    settings["formatters"]["plain"] = settings["formatters"]["default"]
    settings["handlers"]["plain"] = {
        **settings["handlers"]["access"],
        "formatter": "plain",
    }
    # Its lines are finished, and go where uvicorn's go.
    loggers["aiohttp.access"] = {
        "handlers": ["plain"],
        "level": level,
        "propagate": False,
    }
    logging.config.dictConfig(settings)
