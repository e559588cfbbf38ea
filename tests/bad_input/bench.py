"""What one row of the table runs on: a loop, and objects in every state."""

import asyncio
import inspect
import os
import re
import socket
import ssl
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import trustme
from loops import factory_of
from parity.protocols import Echo, Recorder

ROW_ENDS_WITHIN_S = 10.0
"""Far longer than any row takes; a call still waiting then never returns."""

Act = Callable[["Bench"], Any]


@dataclass(frozen=True)
class Row:
    """One wrong call.  *act* makes it; an awaitable result is awaited."""

    name: str
    act: Act
    outside: bool = False
    """Whether it is called while the loop is not running."""
    debug: bool = False
    closes: bool = False
    """Whether it leaves the loop closed, so that it cannot echo."""


@dataclass(frozen=True)
class Outcome:
    """What a program can see of a call."""

    answer: str
    reported: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    lives: str = "echoes"

    def __str__(self) -> str:
        words = [self.answer, *self.reported, *self.warned]
        if self.lives != "echoes":
            words.append(self.lives)
        return "; ".join(words)


class Bench:
    """A loop and the objects that a row asks for; all are closed after the row."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Any = loop
        self.stack = ExitStack()
        self.transports: list[Any] = []
        self.endings: list[asyncio.Future[None]] = []

    def sock(self, *args: Any) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(*args))
        sock.setblocking(False)
        return sock

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(ROW_ENDS_WITHIN_S)
        self.stack.callback(theirs.close)
        self.stack.callback(ours.close)
        return ours, theirs

    def listening(self) -> socket.socket:
        sock = self.sock()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        return sock

    def closed_sock(self) -> socket.socket:
        sock = self.sock()
        sock.close()
        return sock

    def blocking_sock(self) -> socket.socket:
        ours, _ = self.pair()
        ours.setblocking(True)
        return ours

    def file(self, content: bytes = b"content") -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the stack closes it
        self.stack.callback(file.close)
        file.write(content)
        file.seek(0)
        return file

    def text_file(self) -> Any:
        return self.stack.enter_context(tempfile.TemporaryFile("w+"))

    def closed_file(self) -> Any:
        file = self.file()
        file.close()
        return file

    def closed_fd(self) -> int:
        """A descriptor number that is not open and won't be while the row runs."""
        return 1_000_000 - 1

    def pipe(self) -> tuple[Any, Any]:
        read_end, write_end = os.pipe()
        reader, writer = os.fdopen(read_end, "rb", 0), os.fdopen(write_end, "wb", 0)
        self.stack.callback(writer.close)
        self.stack.callback(reader.close)
        return reader, writer

    def folder(self) -> str:
        return self.stack.enter_context(tempfile.TemporaryDirectory())

    async def transport(
        self, protocol: asyncio.BaseProtocol | None = None
    ) -> tuple[Any, socket.socket]:
        """An open transport and its peer."""
        ours, theirs = socket.socketpair()
        theirs.settimeout(ROW_ENDS_WITHIN_S)
        self.stack.callback(theirs.close)
        transport, _ = await self.loop.create_connection(
            lambda: Recorder() if protocol is None else protocol, sock=ours
        )
        self.transports.append(transport)
        return transport, theirs

    async def close(self) -> None:
        for transport in self.transports:
            # asyncio's own read pipes have no abort, and on its other
            # transports abort fails after close.
            if not transport.is_closing():
                getattr(transport, "abort", transport.close)()
        await asyncio.gather(*self.endings)
        await iterations(3)


async def iterations(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def echoes() -> str:
    """Checks that this loop can still echo a byte."""
    loop = asyncio.get_running_loop()
    # It takes the numbers of descriptors that the row has closed: asyncio would refuse
    # them, as those of a transport.
    spare = socket.socketpair()
    ours, theirs = socket.socketpair()
    protocol = Echo()
    with spare[0], spare[1], theirs:
        theirs.setblocking(False)
        await loop.connect_accepted_socket(lambda: protocol, ours)
        await loop.sock_sendall(theirs, b"x")
        data = await loop.sock_recv(theirs, 2)
        protocol.transport.close()
        await protocol.lost()
    return "echoes" if data == b"x" else f"echoes {data!r}"


def outcome_of(kind: str, row: Row) -> Outcome:
    loop = factory_of(kind)()
    reported: list[str] = []

    def handler(_: Any, context: dict[str, Any]) -> None:
        reported.append(in_report(context))

    loop.set_exception_handler(handler)
    if row.debug:
        loop.set_debug(True)
        loop.slow_callback_duration = 60
    bench = Bench(loop)
    answers: list[str] = []
    lives: list[str] = []

    async def inside() -> None:
        answers.append(await answer_of(row, bench))
        await iterations()

    async def after() -> None:
        # The row's outcome has been recorded; this is the clean-up.
        if not row.closes:
            lives.append(await asyncio.wait_for(echoes(), ROW_ENDS_WITHIN_S))
        await bench.close()

    with warnings.catch_warnings(record=True) as caught, bench.stack:
        warnings.simplefilter("always")
        if row.outside:
            answers.append(answer_outside(row, bench))
        else:
            loop.run_until_complete(inside())
        seen, told = tuple(reported), tuple(map(in_warning, caught))
        if not loop.is_closed():
            loop.set_exception_handler(lambda *_: None)
            loop.set_task_factory(None)
            loop.run_until_complete(after())
            close_loop(loop)
    if not row.closes and not lives:
        lives.append("is closed")
    return Outcome(
        answers[0],
        seen,
        tuple(text for text in told if text),
        lives[0] if lives else "echoes",
    )


def close_loop(loop: Any) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    if loop._default_executor is not None:
        loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def answer_of(row: Row, bench: Bench) -> str:
    try:
        value = row.act(bench)
        if inspect.isawaitable(value):
            limit = asyncio.timeout(ROW_ENDS_WITHIN_S)
            try:
                async with limit:
                    value = await value
            except TimeoutError:
                if limit.expired():
                    return "waits for ever"
                raise
    except (Exception, asyncio.CancelledError) as error:
        return in_words(error)
    if (
        isinstance(value, tuple)
        and value
        and isinstance(value[0], asyncio.BaseTransport)
    ):
        bench.transports.append(value[0])
        value = "a transport"
    if isinstance(value, asyncio.Server):
        value.close()
        value = "a server"
    return f"gives {normal(repr(value))}"


def answer_outside(row: Row, bench: Bench) -> str:
    try:
        return f"gives {normal(repr(row.act(bench)))}"
    except Exception as error:
        return in_words(error)


def in_words(error: BaseException) -> str:
    """Type, errno and message, and the same for its cause."""
    text = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError):
        text += f"[errno {error.errno}]"
    text += f"({normal(str(error))})"
    if error.__cause__ is not None:
        text += f" from {in_words(error.__cause__)}"
    if isinstance(error, BaseExceptionGroup):
        text += f" of {[in_words(each) for each in error.exceptions]}"
    return text


def in_report(context: dict[str, Any]) -> str:
    message = normal(str(context.get("message")))
    # The name of the callback is private to each loop.
    if message.startswith("Exception in callback"):
        message = "Exception in callback"
    error = context.get("exception")
    return f"reports {message!r}" + (f" {in_words(error)}" if error is not None else "")


def in_warning(caught: warnings.WarningMessage) -> str:
    # Warnings about unclosed or unawaited objects come whenever the garbage
    # collector runs.
    text = str(caught.message)
    if caught.category is ResourceWarning or "was never awaited" in text:
        return ""
    return f"warns {caught.category.__name__}({normal(text)})"


_NORMAL = [
    (re.compile(pattern), by)
    for pattern, by in [
        (
            r"\b((Epoll|Uring|Adaptive|Swapping)EventLoop|_UnixSelectorEventLoop)\b",
            "Loop",
        ),
        (r"\b(StreamTransport|_SelectorSocketTransport)\b", "SocketTransport"),
        (r"0x[0-9a-f]+", "0x"),
        (r"\b(fd=|descriptor |pid=|Task-)-?\d+", r"\1N"),
        (r"\('127\.0\.0\.1', \d+\)", "('127.0.0.1', N)"),
        (r"\bwhen=[-+.0-9e]+", "when=T"),
        (r"/tmp/\w+", "/tmp/F"),
        (r"name=\d+", "name=N"),
    ]
]


def normal(text: str) -> str:
    """Without what differs from run to run, or in name from loop to loop."""
    for pattern, by in _NORMAL:
        text = pattern.sub(by, text)
    return text


@lru_cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
