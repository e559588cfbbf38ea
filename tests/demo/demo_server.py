"""A server that answers as the demo's application does; see ``faulty_server``."""

import asyncio

from faulty_server import Asked, FaultyServer


class DemoServer(FaultyServer):
    goodbyes = 0
    """Requests that carried connection: close."""
    chunked = 0
    """Requests whose body came in chunks."""

    async def read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request_line, *headers = head.rstrip().split("\r\n")
        _, connection, sequence = request_line.split(" ")[1].split("/")
        last = "connection: close" in headers
        chunked = "transfer-encoding: chunked" in headers
        if chunked:
            body = await _read_chunks(reader)
            middle = (len(body) + 1) // 2
            parts = [part for part in (body[:middle], body[middle:]) if part]
            length = "transfer-encoding: chunked\r\n"
            content = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
            content += b"0\r\n\r\n"
        else:
            sizes = [h.split(": ")[1] for h in headers if h.startswith("content-le")]
            body = content = await reader.readexactly(int(sizes[0]) if sizes else 0)
            length = f"content-length: {len(body)}\r\n"
        close = "connection: close\r\n" if last else ""
        right = (
            "HTTP/1.1 200 OK\r\nx-engine: epoll\r\n"
            f"x-connection: {connection}\r\nx-sequence: {sequence}\r\n"
            f"{length}{close}\r\n"
        ).encode() + content
        self.goodbyes += last
        self.chunked += chunked
        return Asked(int(connection), int(sequence), len(body), right, writer, last)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body
