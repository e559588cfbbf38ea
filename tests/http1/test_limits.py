"""However much arrives, a watcher buffers at most one line."""

from collections.abc import Callable

import pytest

from aioadapt._http1.exchange import Exchange

LINE_LIMIT_BYTES = 8190
HEAD_LIMIT_BYTES = 65536
OVER = "opaque: a head over the size limits"

Feed = Callable[[Exchange, bytes], None]


def in_one_piece(exchange: Exchange, data: bytes) -> None:
    exchange.inbound(data)


def bytewise(exchange: Exchange, data: bytes) -> None:
    for i in range(len(data)):
        exchange.inbound(data[i : i + 1])


feeds = pytest.mark.parametrize("feed", [in_one_piece, bytewise])


@feeds
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(feed: Feed) -> None:
    fits, too_long = Exchange(), Exchange()
    target = b"/" + b"x" * (LINE_LIMIT_BYTES - len(b"GET / HTTP/1.1"))
    feed(fits, b"GET " + target + b" HTTP/1.1\r\n\r\n")
    feed(too_long, b"GET x" + target + b" HTTP/1.1\r\n\r\n")
    assert fits.why == "a request is being answered"
    assert too_long.why == OVER


@feeds
def test_a_line_that_never_ends_is_opaque_at_the_limit(feed: Feed) -> None:
    exchange = Exchange()
    feed(exchange, b"G" * (LINE_LIMIT_BYTES + 1))
    assert exchange.why == "a request is arriving"
    exchange.inbound(b"G")
    assert exchange.why == OVER


@feeds
@pytest.mark.parametrize(
    "before", [b"", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"]
)
def test_a_head_or_trailer_over_its_limit_is_opaque(feed: Feed, before: bytes) -> None:
    first = b"" if before else b"GET / HTTP/1.1\r\n"
    room = HEAD_LIMIT_BYTES - len(first) - len(b"\r\n")
    line = b"X: " + b"x" * 4000 + b"\r\n"
    lines = line * (room // len(line))
    lines += b"Y: " + b"y" * (room - len(lines) - 5) + b"\r\n"

    fits, too_long = Exchange(), Exchange()
    feed(fits, before + first + lines + b"\r\n")
    feed(too_long, before + first + lines[:-2] + b"y\r\n" + b"\r\n")
    assert fits.why == "a request is being answered"
    assert too_long.why == OVER


def test_the_limits_are_for_each_head_anew() -> None:
    exchange = Exchange()
    large = b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 8000 + b"\r\n") * 8 + b"\r\n"
    for _ in range(3):
        exchange.inbound(large)
    assert exchange.requests == 3
    assert not exchange.opaque


def test_many_small_chunks_stay_within_the_limits() -> None:
    exchange = Exchange()
    exchange.inbound(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.inbound(b"1;name=value\r\nx\r\n" * 10_000 + b"0\r\n\r\n")
    assert exchange.why == "a request is being answered"


def test_empty_lines_without_end_are_opaque() -> None:
    exchange = Exchange()
    exchange.inbound(b"\r\n" * (HEAD_LIMIT_BYTES // 2))
    assert exchange.why == "a request is arriving"
    exchange.inbound(b"\r\n")
    assert exchange.why == OVER


def test_bodies_are_counted_and_not_kept() -> None:
    exchange = Exchange()
    piece = b"x" * 65536
    exchange.inbound(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (100 * 65536))
    exchange.outbound(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * 65536))
    for _ in range(100):
        assert not exchange.quiet
        exchange.inbound(piece)
        exchange.outbound(piece)
        assert exchange.kept_bytes == 0
    assert exchange.quiet


def test_a_line_that_comes_in_pieces_is_kept_until_its_message_ends() -> None:
    exchange = Exchange()
    bytewise(exchange, b"POST / HTTP/1.1\r\nX: " + b"x" * 8000 + b"\r\n")
    assert 8000 <= exchange.kept_bytes <= 8192
    exchange.inbound(b"Content-Length: 1\r\n\r\nx")
    assert exchange.kept_bytes == 0


def test_a_message_that_comes_whole_is_never_copied() -> None:
    exchange = Exchange()
    exchange.inbound(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx")
    assert exchange.kept_bytes == 0


def test_an_opaque_connection_keeps_nothing() -> None:
    exchange = Exchange()
    exchange.inbound(b"GET / HTTP/1.1\r\nX: half a he")
    exchange.outbound(b"HTTP/1.1 408")
    assert exchange.opaque
    assert exchange.kept_bytes == 0
