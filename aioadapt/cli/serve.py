"""``aioadapt serve``: the options of :func:`aioadapt.serve` on the command line."""

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
    """The members of ``aioadapt.WorkloadHint`` under their option names."""

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
            help="ASGI application, or a factory of an ASGI or aiohttp application.",
            show_default=False,
        ),
    ],
    factory: Annotated[
        bool,
        typer.Option(
            "--factory",
            help="Treat APP as a factory: a callable without arguments that returns "
            "the application.",
        ),
    ] = False,
    app_dir: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Directory to import MODULE from."
        ),
    ] = Path(),
    host: Annotated[
        str, typer.Option(help="Host name or address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Port to listen on; 0 picks a free one."),
    ] = 8000,
    uds: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Unix socket to listen on instead of host and port."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Number of worker processes.")
    ] = 1,
    start: Annotated[
        StartOn,
        typer.Option(help="Engine to start on; epoll and uring also pin it."),
    ] = StartOn.AUTO,
    hint: Annotated[
        Hint | None,
        typer.Option(help="Expected workload, to choose the engine to start on."),
    ] = None,
    no_migrate: Annotated[
        bool,
        typer.Option(
            "--no-migrate",
            help="Route only new connections to the other engine; move no live ones.",
        ),
    ] = False,
    no_adapt: Annotated[
        bool, typer.Option("--no-adapt", help="Do not switch engines with the load.")
    ] = False,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Thresholds for switching, as written by `aioadapt calibrate`.",
        ),
    ] = None,
    ssl_certfile: Annotated[
        str | None, typer.Option(metavar="FILE", help="TLS certificate file (PEM).")
    ] = None,
    ssl_keyfile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TLS key file (PEM).  [default: the certificate file]",
        ),
    ] = None,
    ssl_keyfile_password: Annotated[
        str | None,
        typer.Option(
            envvar="AIOADAPT_SSL_KEYFILE_PASSWORD", help="Password of the TLS key."
        ),
    ] = None,
    graceful_s: Annotated[
        float,
        typer.Option(min=0, max=86_400, help="Shutdown grace period, in seconds."),
    ] = 10.0,
    keep_alive_s: Annotated[
        float,
        typer.Option(
            min=0,
            max=86_400,
            help="Seconds after which an idle keep-alive connection is closed.",
        ),
    ] = 5.0,
    log_level: Annotated[LogLevel, typer.Option(help="Log level.")] = LogLevel.INFO,
    no_access_log: Annotated[
        bool, typer.Option("--no-access-log", help="Disable the access log.")
    ] = False,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|off",
            help="Unix socket for `aioadapt top` and `aioadapt why`.  [default: "
            "$XDG_RUNTIME_DIR/aioadapt/PID.sock]",
        ),
    ] = None,
    admin_tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Also serve the admin address over TCP: read-only, open to anyone "
            "who can connect, on the loopback address unless HOST is given.",
        ),
    ] = None,
) -> None:
    """Serve an ASGI or aiohttp application.

    The server starts on one engine, epoll or io_uring, and switches to the other when
    the load calls for it.

    The application runs on two event loops, one per engine.  Its startup (ASGI
    lifespan, aiohttp's on_startup) runs once on each loop, and whatever belongs to
    a loop, such as a database connection pool, must be created there.  With
    --factory each loop gets its own application; otherwise both share one.

    On SIGTERM or SIGINT the server stops accepting, finishes running requests,
    closes idle connections and exits with status 0.  A second signal terminates it
    immediately.
    """
    # Imported here, so that --help is fast and works without a server installed.
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
    """Parse ``9100``, ``10.0.0.1:9100`` or ``[::1]:9100``."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise typer.BadParameter(
            f"{text!r} is not of the form [HOST:]PORT", param_hint="'--admin-tcp'"
        )
    return host.strip("[]") or "127.0.0.1", int(port)
