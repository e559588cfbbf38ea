"""asyncio's TLS over the loop's own transports."""

import asyncio
import ssl

import pytest

from .peers import pattern, serving
from .protocols import BufferedEcho, Echo, Recorder

MIB = 1024 * 1024


class ViewedEcho(BufferedEcho):
    """asyncio's SSL protocol slices the buffer, and slicing a bytearray copies it."""

    def get_buffer(self, sizehint: int) -> memoryview:  # type: ignore[override]
        return memoryview(self.buffer)


@pytest.mark.parametrize("echo", [Echo, ViewedEcho])
async def test_megabytes_come_back_over_tls(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    echo: type[Echo] | type[ViewedEcho],
) -> None:
    data = pattern(3 * MIB)
    async with serving(echo, ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        transport.write(b"small")
        assert await client.got(5) == b"small"
        transport.write(data)
        assert await client.got(5 + len(data)) == b"small" + data
        transport.close()
        assert await client.lost() is None


async def test_what_a_tls_transport_knows(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    async with serving(Echo, ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        info = transport.get_extra_info
        assert info("peername") == place.address
        assert info("sslcontext") is client_context
        assert info("ssl_object").server_hostname == "localhost"
        assert info("cipher")
        names = (("DNS", "localhost"), ("IP Address", "127.0.0.1"))
        assert info("peercert")["subjectAltName"] == names
        assert not transport.can_write_eof()
        transport.close()
        await client.lost()


async def test_streams_over_tls(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname(),
        ssl=client_context,
        server_hostname="localhost",
    )
    for number in range(50):
        line = b"%d" % number * 1000 + b"\n"
        writer.write(line)
        assert await reader.readline() == line
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_start_tls_on_both_sides_of_a_plain_connection(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def upgrade(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.start_tls(server_context)
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"go ahead\n"
    await writer.start_tls(client_context, server_hostname="localhost")
    writer.write(b"secret\n")
    assert await reader.readline() == b"secret\n"
    assert writer.get_extra_info("cipher")
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_certificate_nobody_vouches_for_is_an_error_of_the_client(
    server_context: ssl.SSLContext,
) -> None:
    async with serving(Recorder, ssl=server_context) as place:
        with pytest.raises(ssl.SSLCertVerificationError):
            await place.connect_tls(ssl.create_default_context())


async def test_a_client_that_does_not_speak_tls_is_dropped_and_the_next_is_served(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    made: list[Echo] = []

    def factory() -> Echo:
        made.append(Echo())
        return made[-1]

    async with serving(factory, ssl=server_context) as place:
        peer = place.connect()
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        try:
            await peer.recv_to_end()
        except ConnectionResetError:
            pass
        peer.close()
        assert made[0].calls == []
        transport, client = await place.connect_tls(client_context)
        transport.write(b"x")
        assert await client.got(1) == b"x"
        transport.close()
        await client.lost()


async def test_a_client_that_says_nothing_is_dropped_in_time(
    server_context: ssl.SSLContext,
) -> None:
    async with serving(
        Recorder, ssl=server_context, ssl_handshake_timeout=0.05
    ) as place:
        peer = place.connect()
        try:
            assert await peer.recv_to_end() == b""
        except ConnectionResetError:
            pass
        peer.close()


async def test_a_server_that_hangs_up_in_the_handshake_is_an_error_of_the_client(
    client_context: ssl.SSLContext,
) -> None:
    class HangsUp(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.abort()

    async with serving(HangsUp) as place:
        with pytest.raises(OSError):
            await place.connect_tls(client_context)


async def test_a_reset_under_tls_is_told(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    server_side = Recorder()
    async with serving(lambda: server_side, ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        transport.write(b"x")
        await server_side.got(1)
        transport.abort()
        await client.lost()
        await server_side.lost()


async def test_tls_over_unix_sockets(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    data = pattern(MIB)
    async with serving(Echo, "unix", ssl=server_context) as place:
        transport, client = await place.connect_tls(client_context)
        transport.write(data)
        assert await client.got(len(data)) == data
        transport.close()
        await client.lost()
