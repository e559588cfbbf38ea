"""What the demo's client and server send each other, byte for byte.

The path of a request contains the number of its connection and its place in the
connection's sequence.  The response repeats both, the body, and the engine that
served it:

    POST /17/204 HTTP/1.1          HTTP/1.1 200 OK
    host: demo                     x-engine: uring
    content-length: 5              x-connection: 17
                                   x-sequence: 204
    hello                          content-length: 5

                                   hello

Everything in a response except the name of the engine is known before the request
is sent, so the client checks every byte of it with one comparison.  For that reason
the engine's header comes first: everything after it is one run of bytes.

A request with a chunked body gets a chunked response of two chunks: the halves of
the body.
"""

import itertools
import random
from dataclasses import dataclass
from enum import Enum

BODY_SOURCE_BYTES = 1 << 20
PATTERNS = 2048  # distinct batches; a guess: far more than one connection sends

_HEAD = b"HTTP/1.1 200 OK\r\nx-engine: "


class Shape(Enum):
    PLAIN = "one request, one send"
    PIPELINED = "two to four requests in one send"
    DRIBBLED = "one request in several small sends"
    CHUNKED = "one request with a chunked body"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, without the two numbers that make them unique."""

    method: bytes
    request_tail: bytes
    answer_tail: bytes

    def request(self, connection: int, sequence: int) -> bytes:
        return b"%b /%d/%d%b" % (self.method, connection, sequence, self.request_tail)

    def answer(self, connection: int, sequence: int) -> bytes:
        """Everything after the line that names the engine."""
        return b"x-connection: %d\r\nx-sequence: %d\r\n%b" % (
            connection,
            sequence,
            self.answer_tail,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    shape: Shape
    exchanges: tuple[Exchange, ...]


def opening(engine: str) -> bytes:
    """The part of a response that comes before :meth:`Exchange.answer`."""
    return b"%b%b\r\n" % (_HEAD, engine.encode("ascii"))


OPENING_LEAST_BYTES = len(_HEAD)


def halves(body: bytes) -> tuple[bytes, bytes]:
    middle = (len(body) + 1) // 2
    return body[:middle], body[middle:]


def whole(body: bytes, *, last: bool = False) -> Exchange:
    """A request with a content-length, or a GET if there is no body.

    *last*: it asks the server to close the connection afterwards.
    """
    close = b"connection: close\r\n" if last else b""
    length = b"content-length: %d\r\n" % len(body)
    return Exchange(
        method=b"POST" if body else b"GET",
        request_tail=b" HTTP/1.1\r\nhost: demo\r\n%b%b\r\n%b"
        % (length if body else b"", close, body),
        answer_tail=b"%b%b\r\n%b" % (length, close, body),
    )


PLAIN_GET = Batch(Shape.PLAIN, (whole(b""),))


def chunked(chunks: list[bytes]) -> Exchange:
    body = b"".join(chunks)
    return Exchange(
        method=b"POST",
        request_tail=b" HTTP/1.1\r\nhost: demo\r\ntransfer-encoding: chunked\r\n\r\n"
        + _in_chunks(chunks),
        answer_tail=b"transfer-encoding: chunked\r\n\r\n" + _in_chunks(halves(body)),
    )


def _in_chunks(parts: list[bytes] | tuple[bytes, ...]) -> bytes:
    return (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
        + b"0\r\n\r\n"
    )


def batches(rng: random.Random) -> list[Batch]:
    """What connections send: each starts somewhere in the list and continues."""
    source = rng.randbytes(BODY_SOURCE_BYTES)

    def body() -> bytes:
        size = _body_size(rng)
        start = rng.randrange(len(source) - size)
        return source[start : start + size]

    def batch(shape: Shape) -> Batch:
        if shape is Shape.PIPELINED:
            return Batch(shape, tuple(whole(body()) for _ in range(rng.randint(2, 4))))
        if shape is Shape.CHUNKED:
            return Batch(shape, (chunked([body() for _ in range(rng.randint(1, 4))]),))
        return Batch(shape, (whole(body()),))

    shapes = rng.choices(list(Shape), weights=[14, 2, 1, 3], k=PATTERNS)
    return [batch(shape) for shape in shapes]


def _body_size(rng: random.Random) -> int:
    """Mostly small, as in practice; one in a hundred is larger than one read."""
    at_most = rng.choices([0, 64, 512, 4096, 40_000], weights=[10, 40, 40, 9, 1])[0]
    return rng.randint(at_most // 8, at_most)


def cuts(size: int, rng: random.Random) -> list[slice]:
    """Two to six pieces of a request, cut at random places."""
    pieces = min(size, rng.randint(3, 6))
    # Half of the cuts are in the first 80 bytes: request line and headers.
    places = {
        rng.randrange(1, min(size, 80) if rng.random() < 0.5 else size)
        for _ in range(pieces - 1)
    }
    edges = [0, *sorted(places), size]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]
