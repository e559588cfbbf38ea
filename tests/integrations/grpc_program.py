"""grpc.aio's server and client on one loop, which is named on the command line.

A separate program, because gRPC's threads may outlive the test.  gRPC uses its own
sockets, too: it notifies the loop of finished calls through a descriptor passed to
``add_reader``.
"""

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator
from importlib import import_module
from typing import Any

import grpc
import pytest

BIG = bytes(range(256)) * 4096 * 8  # eight mebibytes
OPTIONS = [("grpc.max_receive_message_length", 2 * len(BIG))]


class Service:
    """One method of each kind, on raw bytes, so that no stubs are needed."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def echo(self, request: bytes, _: Any) -> bytes:
        return request

    async def count(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    async def total(self, requests: AsyncIterable[bytes], _: Any) -> bytes:
        return b"%d" % sum([len(request) async for request in requests])

    async def talk(
        self, requests: AsyncIterable[bytes], _: Any
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def wait(self, request: bytes, _: Any) -> bytes:
        if request == b"a cancel":
            self.waiting.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if request == b"a cancel":
                self.cancelled.set()
            raise

    async def fail(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
        raise AssertionError("abort raises")

    def handler(self) -> Any:
        methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
        }
        return grpc.method_handlers_generic_handler("show", methods)


running: list[Any] = []
"""The loops that :func:`main` has run on."""


async def main() -> None:
    running.append(asyncio.get_running_loop())
    service = Service()
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as to:
        await calls(to)
        await streams(to)
        await failures(to, service)
    await server.stop(grace=None)


async def calls(to: Any) -> None:
    echo = to.unary_unary("/show/Echo")
    assert await echo(BIG) == BIG
    answers = await asyncio.gather(*(echo(b"%d" % number) for number in range(500)))
    assert answers == [b"%d" % number for number in range(500)]


async def streams(to: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    counted = to.unary_stream("/show/Count")(b"1000")
    assert [number async for number in counted] == [b"%d" % n for n in range(1000)]
    assert await to.stream_unary("/show/Total")(pieces()) == b"100000"
    talking = to.stream_stream("/show/Talk")()
    for number in range(50):
        await talking.write(b"message %d" % number)
        assert await talking.read() == b"MESSAGE %d" % number
    await talking.done_writing()
    assert await talking.read() is grpc.aio.EOF


async def failures(to: Any, service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as aborted:
        await to.unary_unary("/show/Fail")(b"")
    assert aborted.value.code() is grpc.StatusCode.NOT_FOUND
    assert aborted.value.details() == "there is no such thing"

    with pytest.raises(grpc.aio.AioRpcError) as late:
        await to.unary_unary("/show/Wait")(b"a deadline", timeout=0.05)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    call = to.unary_unary("/show/Wait")(b"a cancel")
    await service.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await service.cancelled.wait()


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    with asyncio.Runner(loop_factory=getattr(import_module(module), name)) as runner:
        runner.run(main())
    loop = running[-1]
    print(type(loop).__name__, loop.stats().events if hasattr(loop, "stats") else 0)
