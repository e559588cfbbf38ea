"""``aioadapt serve``: its options; what they mean is :func:`aioadapt.serve`'s."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class StartOn(StrEnum):
    AUTO = "auto"
    EPOLL = "epoll"
    URING = "uring"


class Hint(StrEnum):
    """The names of ``aioadapt.WorkloadHint``, as options have them."""

    HIGH_CONCURRENCY = "high-concurrency"
    FEW_CONNECTIONS = "few-connections"
    LARGE_PAYLOADS = "large-payloads"
    STREAMING = "streaming"


class LogLevel(StrEnum):
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"
    TRACE = "trace"


def serve(
    app: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:APP",
            help="An ASGI application, or a function that makes one or an aiohttp "
            "application.",
            show_default=False,
        ),
    ],
    factory: Annotated[
        bool,
        typer.Option("--factory", help="APP is called for the application."),
    ] = False,
    app_dir: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Where modules are looked for first."
        ),
    ] = Path(),
    host: Annotated[str, typer.Option(help="Name or address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="0 takes a free one.")
    ] = 8000,
    uds: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A Unix socket, in place of a port."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes.")] = 1,
    start: Annotated[
        StartOn,
        typer.Option(help="The engine to start on; epoll and uring also stay on it."),
    ] = StartOn.AUTO,
    hint: Annotated[
        Hint | None, typer.Option(help="What the load is going to be like.")
    ] = None,
    no_migrate: Annotated[
        bool,
        typer.Option(
            "--no-migrate",
            help="New connections follow the engine, live ones stay where they are.",
        ),
    ] = False,
    no_adapt: Annotated[
        bool, typer.Option("--no-adapt", help="Stay on the engine of the start.")
    ] = False,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of the decisions, as `aioadapt calibrate` wrote them."
        ),
    ] = None,
    ssl_certfile: Annotated[
        str | None, typer.Option(metavar="FILE", help="Serve TLS; PEM.")
    ] = None,
    ssl_keyfile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Its key, if it is not in the same file."),
    ] = None,
    ssl_keyfile_password: Annotated[
        str | None,
        typer.Option(envvar="AIOADAPT_SSL_KEYFILE_PASSWORD", help="Of the key."),
    ] = None,
    graceful_s: Annotated[
        float,
        typer.Option(
            min=0,
            max=86_400,
            help="Seconds that requests get to finish in when it is told to end.",
        ),
    ] = 10.0,
    keep_alive_s: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, help="Seconds until an idle connection is closed."
        ),
    ] = 5.0,
    log_level: Annotated[LogLevel, typer.Option()] = LogLevel.INFO,
    no_access_log: Annotated[
        bool, typer.Option("--no-access-log", help="Do not log each request.")
    ] = False,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|off",
            help="The Unix socket for `aioadapt top` and `why`.  [a usual place]",
        ),
    ] = None,
    admin_tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="The same over TCP, read-only, for whoever can connect; on the "
            "loopback unless a host is named.",
        ),
    ] = None,
) -> None:
    """Serve an application on the engine that its load calls for.

    The application runs on two event loops, one on epoll and one on io_uring:
    its start-up (ASGI lifespan, aiohttp's on_startup) runs once on each, and
    what belongs to a loop, such as a pool of database connections, has to be
    made there.  With --factory each loop has an application of its own;
    otherwise both run the same object.

    SIGTERM or SIGINT: it accepts no more, finishes requests, closes idle
    connections and exits with 0.  A second one ends it at once.
    """
    # Here, so that --help works and is quick with no server installed.
    import aioadapt
    from aioadapt.control import calibration

    folder = str(app_dir.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    aioadapt.serve(
        app,
        workers=workers,
        factory=factory,
        host=host,
        port=port,
        uds=uds,
        start=start.value,
        hint=aioadapt.WorkloadHint.named(hint.value) if hint is not None else None,
        migrate=not no_migrate,
        adapt=not no_adapt,
        thresholds=calibration.load(thresholds) if thresholds is not None else None,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        ssl_keyfile_password=ssl_keyfile_password,
        log_level=log_level.value,
        access_log=not no_access_log,
        graceful_s=graceful_s,
        keep_alive_s=keep_alive_s,
        admin=admin,
        admin_tcp=tcp_address(admin_tcp) if admin_tcp is not None else None,
    )


def tcp_address(text: str) -> tuple[str, int]:
    """``9100`` or ``10.0.0.1:9100`` or ``[::1]:9100``."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise typer.BadParameter(
            f"{text!r} is no [HOST:]PORT", param_hint="'--admin-tcp'"
        )
    return host.strip("[]") or "127.0.0.1", int(port)
