"""Clients that talk to servers.py, and check every byte of what they hear."""

import asyncio
import random
import ssl
from typing import Any

import httpx
import websockets.asyncio.client
from conversations.servers import Address, Tls

SIZES = [0, 1, 100, 5_000, 70_000, 400_000]


async def connect(
    address: Address, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address)
    name = "localhost" if tls else None
    return await asyncio.open_connection(*address, ssl=tls, server_hostname=name)


async def send_in_pieces(
    writer: asyncio.StreamWriter, data: bytes, dice: random.Random
) -> None:
    at = 0
    while at < len(data):
        size = dice.choice([1, 500, 20_000, 200_000])
        writer.write(data[at : at + size])
        at += size
        if dice.random() < 0.7:
            await writer.drain()
        if dice.random() < 0.1:
            await asyncio.sleep(dice.choice([0, 0.002]))


async def hears_its_echo(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    dice: random.Random,
    *,
    half_closes: bool,
) -> None:
    for _ in range(dice.randint(1, 6)):
        sent = dice.randbytes(dice.choice(SIZES))
        sending = asyncio.ensure_future(send_in_pieces(writer, sent, dice))
        assert await reader.readexactly(len(sent)) == sent
        await sending
    last = dice.randbytes(dice.choice(SIZES))
    sending = asyncio.ensure_future(send_in_pieces(writer, last, dice))
    if half_closes:
        heard = asyncio.ensure_future(reader.read(-1))
        await sending
        writer.write_eof()
        assert await heard == last
    else:
        assert await reader.readexactly(len(last)) == last
        await sending
    writer.close()
    await writer.wait_closed()


async def raw(kind: str, address: Address, dice: random.Random, tls: Tls) -> None:
    reader, writer = await connect(address, tls.client if kind == "tls" else None)
    if kind == "start_tls":
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        await writer.start_tls(tls.client, server_hostname="localhost")
    half_closes = kind in ("tcp", "unix")
    await hears_its_echo(reader, writer, dice, half_closes=half_closes)


async def resets(address: Address, dice: random.Random) -> None:
    """Leaves without a word while both sides send."""
    reader, writer = await connect(address)
    sent = dice.randbytes(400_000)
    sending = asyncio.ensure_future(send_in_pieces(writer, sent, dice))
    heard = await reader.read(dice.choice([1, 1000, 200_000]))
    assert sent.startswith(heard)
    writer.transport.abort()
    await asyncio.wait([sending])
    sending.exception()


async def files(address: Address, dice: random.Random) -> None:
    reader, writer = await connect(address)
    for number in range(3):
        line = b"%d %d\n" % (number, dice.randrange(10**9))
        writer.write(line)
        assert await reader.readexactly(1001 * len(line)) == line * 1001
    writer.close()
    await writer.wait_closed()


async def messages(address: tuple[str, int], dice: random.Random, tls: Any) -> None:
    options = {"ssl": tls, "server_hostname": "localhost"} if tls else {}
    host, port = address
    url = f"{'wss' if tls else 'ws'}://{host}:{port}"
    async with websockets.asyncio.client.connect(url, max_size=None, **options) as peer:
        for _ in range(dice.randint(1, 5)):
            sent = [dice.randbytes(dice.choice(SIZES)) for _ in range(3)]
            for message in sent:
                await peer.send(message)
            ping = await peer.ping()
            assert [await peer.recv() for _ in sent] == sent
            await ping


def request(tag: bytes, body: bytes, dice: random.Random) -> bytes:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntag: %s\r\n" % tag
    if dice.random() < 0.5:
        return head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    chunks, at = [], 0
    while at < len(body):
        chunk = body[at : at + dice.choice([1_000, 30_000])]
        chunks.append(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        at += len(chunk)
    head += b"transfer-encoding: chunked\r\n\r\n"
    return head + b"".join(chunks) + b"0\r\n\r\n"


async def response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its tag and its body, which is in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    assert b"transfer-encoding: chunked" in head, head
    tag = head.partition(b"\r\ntag: ")[2].partition(b"\r\n")[0]
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return tag, body


async def http1(address: Address, dice: random.Random) -> None:
    """Several requests at once, several times, over one connection."""
    reader, writer = await connect(address)
    for turn in range(dice.randint(1, 4)):
        asked = [
            (b"%d-%d" % (turn, number), dice.randbytes(dice.choice(SIZES[:5])))
            for number in range(dice.randint(1, 6))
        ]
        sent = b"".join(request(tag, body, dice) for tag, body in asked)
        sending = asyncio.ensure_future(send_in_pieces(writer, sent, dice))
        assert [await response(reader) for _ in asked] == asked
        await sending
    writer.close()
    await writer.wait_closed()


async def http2(
    address: tuple[str, int], dice: random.Random, tls: ssl.SSLContext
) -> None:
    """Many requests at a time, over one connection."""
    host, port = address
    async with httpx.AsyncClient(http1=False, http2=True, verify=tls) as client:

        async def one(number: int) -> None:
            body = dice.randbytes(dice.choice(SIZES[:5]))
            answer = await client.post(
                f"https://{host}:{port}/", content=body, headers={"tag": str(number)}
            )
            assert answer.http_version == "HTTP/2"
            assert (answer.headers["tag"], answer.content) == (str(number), body)

        for turn in range(dice.randint(1, 3)):
            numbers = range(turn * 10, turn * 10 + dice.randint(1, 8))
            await asyncio.gather(*map(one, numbers))


async def talk(kind: str, address: Address, dice: random.Random, tls: Tls) -> None:
    """One conversation of this kind, over one connection."""
    if isinstance(address, str) or kind in ("tcp", "tls", "start_tls"):
        await raw(kind, address, dice, tls)
    elif kind == "reset":
        await resets(address, dice)
    elif kind == "sendfile":
        await files(address, dice)
    elif kind.startswith("websocket"):
        await messages(address, dice, tls.client if "tls" in kind else None)
    elif kind.startswith("http/1"):
        await http1(address, dice)
    else:
        await http2(address, dice, tls.client)
