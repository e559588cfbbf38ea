"""What happens to a connection whose protocol raises."""

import asyncio
import gc
from asyncio import AbstractEventLoop
from typing import Any

import pytest
from loops import LoopFactory, Reported, Run

from .peers import Wire, connected, serving
from .protocols import BufferedRecorder, Recorder
from .test_exceptions import Particular


class FailsIn:
    """Mixed into a recorder: raises after recording one particular call."""

    fails_in: str
    error: Exception

    def note(self, call: str) -> None:
        super().note(call)  # type: ignore[misc]
        if call == self.fails_in:
            self.error = Particular(call)
            raise self.error


class Fails(FailsIn, Recorder):
    pass


class BufferedFails(FailsIn, BufferedRecorder):
    pass


def failing(call: str, kind: type[Any] = Fails) -> type[Any]:
    return type("Fails", (kind,), {"fails_in": call})


def check_fatal(context: dict[str, Any], protocol: Any, message: str) -> None:
    assert context["message"] == message
    assert context["protocol"] is protocol
    assert context["transport"] is protocol.transport
    assert set(context) == {"message", "exception", "transport", "protocol"}


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("data_received", Fails),
        ("buffer_updated", BufferedFails),
        ("eof_received", Fails),
        ("eof_received", BufferedFails),
    ],
)
async def test_a_failing_reading_call_is_reported_and_ends_the_connection(
    wire: Wire, reported: Reported, call: str, kind: type[Any]
) -> None:
    async with connected(failing(call, kind), wire) as (protocol, peer):
        if call == "eof_received":
            peer.finish_sending()
        else:
            peer.send(b"x")
        assert await protocol.lost() is protocol.error
        assert await peer.recv_to_end() == b""
        check_fatal(
            reported.pop(),
            protocol,
            f"Fatal error: protocol.{call}() call failed.",
        )
        assert protocol.calls == ["connection_made", call, "connection_lost"]


async def test_a_failing_data_received_drops_what_waits_to_be_sent(
    reported: Reported,
) -> None:
    class Fails(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(8 * 1024 * 1024))
            raise Particular

    async with connected(Fails) as (protocol, peer):
        peer.send(b"x")
        assert isinstance(await protocol.lost(), Particular)
        assert protocol.transport.get_write_buffer_size() == 0
        reported.pop()


async def test_a_failing_get_buffer_is_reported_and_ends_the_connection(
    wire: Wire, reported: Reported
) -> None:
    class Fails(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> bytearray:
            raise Particular

    async with connected(Fails, wire) as (protocol, peer):
        peer.send(b"x")
        assert isinstance(await protocol.lost(), Particular)
        check_fatal(
            reported.pop(),
            protocol,
            "Fatal error: protocol.get_buffer() call failed.",
        )


async def test_a_buffer_that_cannot_be_written_is_fatal_for_its_connection_only(
    wire: Wire, reported: Reported
) -> None:
    class ReadOnly(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> memoryview:  # type: ignore[override]
            return memoryview(b"cannot be written")

    async with (
        connected(ReadOnly, wire) as (protocol, peer),
        connected(Recorder, wire) as (other, others_peer),
    ):
        peer.send(b"x")
        assert isinstance(await protocol.lost(), TypeError)
        check_fatal(reported.pop(), protocol, "Fatal read error on socket transport")
        others_peer.send(b"x")
        assert await other.got(1) == b"x"


@pytest.mark.parametrize("arrives", ["bytes", "end", "end while it pauses"])
@pytest.mark.parametrize("wrong", [[0], "text", b"bytes"])
async def test_a_wrong_buffer_is_refused_in_the_words_of_recv_into(
    loop: AbstractEventLoop, wire: Wire, reported: Reported, wrong: Any, arrives: str
) -> None:
    """Also when the end of file is all that there is to read."""

    class Wrong(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> Any:
            return wrong

    async with connected(Wrong, wire) as (protocol, peer):
        if arrives == "bytes":
            peer.send(b"x")
        else:
            peer.finish_sending()
        if arrives == "end while it pauses":
            loop.call_soon(protocol.transport.pause_reading)
            loop.call_later(0, protocol.transport.resume_reading)
        error = await protocol.lost()
        assert isinstance(error, TypeError)
        assert str(error) == (
            "recv_into() argument 1 must be read-write bytes-like object, "
            f"not {type(wrong).__name__}"
        )
        assert "eof_received" not in protocol.calls
        check_fatal(reported.pop(), protocol, "Fatal read error on socket transport")


async def test_an_empty_buffer_is_an_error_of_the_protocols(
    wire: Wire, reported: Reported
) -> None:
    async with connected(lambda: BufferedRecorder(0), wire) as (protocol, peer):
        peer.send(b"x")
        error = await protocol.lost()
        assert isinstance(error, RuntimeError)
        assert str(error) == "get_buffer() returned an empty buffer"
        context = reported.pop()
        check_fatal(
            context, protocol, "Fatal error: protocol.get_buffer() call failed."
        )
        assert context["exception"] is error


async def test_a_failing_connection_made_is_reported_and_the_connection_goes_on(
    wire: Wire, reported: Reported
) -> None:
    """To asyncio it is a callback like any other."""

    async with connected(failing("connection_made"), wire) as (protocol, peer):
        peer.send(b"x")
        assert await protocol.got(1) == b"x"
        context = reported.pop()
        assert context["message"].startswith("Exception in callback ")
        assert "connection_made" in context["message"]
        assert context["exception"] is protocol.error
        assert not protocol.transport.is_closing()


@pytest.mark.parametrize("how", ["close", "abort", "peer"])
async def test_a_failing_connection_lost_is_reported_and_the_socket_is_closed(
    wire: Wire, reported: Reported, how: str
) -> None:
    async with connected(failing("connection_lost"), wire) as (protocol, peer):
        if how == "peer":
            peer.finish_sending()
        else:
            getattr(protocol.transport, how)()
        await protocol.lost()
        assert await peer.recv_to_end() == b""
        context = reported.pop()
        assert context["message"].startswith("Exception in callback ")
        assert context["exception"] is protocol.error
        sock = protocol.transport.get_extra_info("socket")
        assert sock.fileno() == -1


# asyncio drops the accepted socket without closing it, which causes a warning.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_a_failing_factory_costs_one_connection_and_not_the_server(
    wire: Wire, reported: Reported
) -> None:
    made: list[Recorder] = []
    asked: list[str] = []

    def factory() -> Recorder:
        asked.append("asked")
        if len(asked) == 1:
            raise Particular
        made.append(Recorder())
        return made[-1]

    async with serving(factory, wire) as place:
        first, second = place.connect(), place.connect()
        second.send(b"served")
        while not made:
            await asyncio.sleep(0)
        assert await made[0].got(6) == b"served"
        second.close()
        await made[0].lost()
        first.close()
    assert reported == []


@pytest.mark.ours_only
async def test_the_connection_of_a_failing_factory_is_closed_at_once(
    wire: Wire,
) -> None:
    def factory() -> asyncio.Protocol:
        raise Particular

    async with serving(factory, wire) as place:
        peer = place.connect()
        try:
            assert await peer.recv_to_end() == b""
        except ConnectionResetError:
            pass
        peer.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_debug_mode_reports_a_failing_factory(
    loop: AbstractEventLoop, run: Run, reported: Reported
) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 60

    def factory() -> asyncio.Protocol:
        raise Particular

    async def main() -> None:
        async with serving(factory) as place:
            peer = place.connect()
            while not reported:
                await asyncio.sleep(0)
            context = reported.pop()
            assert (
                context["message"]
                == "Error on transport creation for incoming connection"
            )
            assert isinstance(context["exception"], Particular)
            peer.close()

    run(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_a_failing_factory_fails_create_connection(
    loop: AbstractEventLoop,
) -> None:
    def factory() -> asyncio.Protocol:
        raise Particular

    async with serving(Recorder) as place:
        with pytest.raises(Particular):
            await loop.create_connection(factory, *place.address)
    gc.collect()


async def test_an_error_in_one_connection_leaves_the_others_alone(
    reported: Reported,
) -> None:
    async with (
        connected(failing("data_received")) as (fails, first),
        connected(Recorder) as (works, second),
    ):
        first.send(b"x")
        second.send(b"y")
        await fails.lost()
        assert await works.got(1) == b"y"
        second.send(b"z")
        assert await works.got(2) == b"yz"
        reported.pop()


def test_a_loop_whose_protocols_failed_can_be_closed(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: None)

    async def main() -> None:
        async with connected(failing("data_received")) as (protocol, peer):
            peer.send(b"x")
            await protocol.lost()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
