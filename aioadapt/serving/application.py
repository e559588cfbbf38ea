"""Loads an application from ``module:app``, and explains every way that can fail.

Python's own errors do not distinguish a module that does not exist from one that
exists but imports another that does not; the messages here do.
"""

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from aioadapt import ServeError


class Application:
    """The application to serve, and how each loop gets it.

    Args:
        app: ``"module:attribute"``, or the object itself.
        factory: call *app* without arguments to get the application; a coroutine
            function is awaited.  A callable that takes no arguments is always
            treated as a factory.

    Raises:
        ServeError: it does not exist, or cannot be an application.
    """

    def __init__(self, app: str | Callable[..., Any], *, factory: bool = False) -> None:
        self.name = app if isinstance(app, str) else name_of(app)
        self._found: Any = load(app) if isinstance(app, str) else app
        self.is_factory = factory or _takes_nothing(self._found)
        if is_aiohttp(self._found):
            if factory:
                raise ServeError(
                    f"{self.name} is an aiohttp application, not a factory of one"
                )
            self.is_factory = False
        elif not callable(self._found):
            raise ServeError(
                f"{self.name} is not an application: its type "
                f"{type(self._found).__name__} is not callable"
            )
        elif not self.is_factory and _looks_like_wsgi(self._found):
            raise ServeError(
                f"{self.name} takes two arguments, like a WSGI application; wrap it "
                f"for ASGI, for example with a2wsgi.WSGIMiddleware"
            )

    @property
    def serves_one_loop_only(self) -> bool:
        """True for an aiohttp application: it belongs to the loop that first ran it."""
        return not self.is_factory and is_aiohttp(self._found)

    async def make(self) -> Any:
        """The application for the running loop.

        Raises:
            ServeError: the factory raised, or did not return an application.
        """
        if not self.is_factory:
            return self._found
        try:
            made = self._found()
            if inspect.isawaitable(made):
                made = await made
        except Exception as error:
            raise ServeError(
                f"the factory {self.name} failed: {in_one_line(error)}"
            ) from error
        if not callable(made):
            raise ServeError(
                f"the factory {self.name} returned {made!r:.80}, which is not an "
                f"application"
            )
        return made


def is_aiohttp(app: Any) -> bool:
    """Whether *app* is an ``aiohttp.web.Application``; does not import aiohttp."""
    web = sys.modules.get("aiohttp.web")
    return web is not None and isinstance(app, web.Application)


def load(name: str) -> Any:
    """The object that ``module:attribute`` names; the attribute may be dotted."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ServeError(
            f"{name!r} does not name an application; use module:attribute, such as "
            "main:app"
        )
    if "/" in module_name or module_name.endswith(".py"):
        dotted = Path(module_name).with_suffix("").as_posix().strip("./")
        raise ServeError(
            f"{module_name!r} is a file; use the module name: "
            f"{dotted.replace('/', '.')}:{attribute}"
        )
    found = import_module(module_name)
    where = f"module {module_name!r}"
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ServeError(f"{where} has no attribute {part!r}{hint}") from error
        where = f"{where}, {part!r}"
    return found


def import_module(name: str) -> Any:
    """Import the module *name*; every failure is a :class:`ServeError`."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if _innermost(error.__traceback__) is None and (
            name == missing or name.startswith(f"{missing}.")
        ):
            raise ServeError(
                f"there is no module {missing!r} in {sys.path[0] or os.getcwd()}, and "
                f"none is installed"
            ) from error
        raise ServeError(_not_importable(name, error)) from error
    except SystemExit as error:
        raise ServeError(
            f"importing {name!r} exited the program: SystemExit({error.code!r})"
        ) from error
    except Exception as error:
        raise ServeError(_not_importable(name, error)) from error


def _not_importable(name: str, error: Exception) -> str:
    return f"importing {name!r} failed: {in_one_line(error)}"


def in_one_line(error: BaseException) -> str:
    """The error and its place: ``ValueError: no database (main.py, line 3)``."""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({error.filename}, line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{where}"
    words = " ".join(str(error).split())
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    frame = _innermost(error.__traceback__)
    if frame is None:
        return said
    return f"{said} ({frame.filename}, line {frame.lineno})"


def _innermost(tb: TracebackType | None) -> traceback.FrameSummary | None:
    """The last frame of the user's own code; None if none of it ran."""
    own = str(Path(__file__).parent) + os.sep
    frames = [
        frame
        for frame in traceback.extract_tb(tb)
        if not frame.filename.startswith(("<frozen importlib", own))
        and frame.filename != importlib.__file__
    ]
    return frames[-1] if frames else None


def name_of(app: Any) -> str:
    """The name for messages of an application that was passed as an object."""
    thing = app if hasattr(app, "__qualname__") else type(app)
    return f"{thing.__module__}:{thing.__qualname__}"


def _takes_nothing(app: Any) -> bool:
    return _takes(app, 0) and not _takes(app, 3)


def _looks_like_wsgi(app: Any) -> bool:
    return _takes(app, 2) and not _takes(app, 1) and not _takes(app, 3)


def _takes(app: Any, count: int) -> bool:
    """Whether *app* can be called with *count* arguments, as far as we can tell."""
    try:
        inspect.signature(app).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return count == 3  # Compiled code without a signature: assume ASGI.
    return True
