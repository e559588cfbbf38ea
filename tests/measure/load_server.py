"""A server that answers as the experiment's application does; see ``faulty_server``."""

import asyncio
import hashlib

from faulty_server import Asked, FaultyServer, Respond, rightly

PATTERN = hashlib.shake_128(b"aioadapt").digest(1 << 20)


def answer(
    connection: int, sequence: int, size: int, *, status: str = "200 OK"
) -> bytes:
    body = f"{connection:010d}/{sequence:012d}\n".encode() + PATTERN[24:size]
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n\r\n".encode() + body


class LoadServer(FaultyServer):
    def __init__(self, respond: Respond = rightly) -> None:
        super().__init__(respond)
        self.asked_by: set[int] = set()
        """The clients' ports, since last cleared."""

    @property
    def port(self) -> int:
        return self.address[1]

    async def read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked_by.add(writer.get_extra_info("peername")[1])
        _, *numbers = head.split(" ")[1].split("/")
        connection, sequence, size = map(int, numbers)
        right = answer(connection, sequence, size)
        return Asked(connection, sequence, size, right, writer)
