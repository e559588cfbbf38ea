"""Where a response ends, and what makes its end ambiguous."""

import pytest

from aioadapt._http1.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def after(request: bytes, response: bytes) -> Exchange:
    exchange = Exchange()
    exchange.inbound(request)
    exchange.outbound(response)
    return exchange


@pytest.mark.parametrize(
    ("request_bytes", "response"),
    [
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (GET, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        (GET, b"HTTP/1.1 200 \r\ncontent-length:0\r\n\r\n"),
        (GET, b"HTTP/1.1 404 caf\xe9\r\nContent-Length: 2\r\n\r\n\r\n"),
        (
            GET,
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        ),
        (GET, b"HTTP/1.1 426 No\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"),
        (GET, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
        (GET, CHUNKED + b"5;a=b\r\nhello\r\n0\r\nDigest: x\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (HEAD, b"HTTP/1.1 200 OK\r\n\r\n"),
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (HEAD, CHUNKED),
        (GET, b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            HEAD,
            b"HTTP/1.1 103 Hint\r\nLink: a\r\nContent-Length: 9\r\n\r\n"
            b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        ),
    ],
)
def test_an_answer_ends_with_its_last_byte_and_not_before(
    request_bytes: bytes, response: bytes
) -> None:
    exchange = after(request_bytes, b"")
    for i in range(len(response)):
        assert exchange.why == "a request is being answered"
        exchange.outbound(response[i : i + 1])
    assert exchange.quiet
    assert exchange.responses == 1


def test_only_the_answer_to_a_head_has_no_body() -> None:
    exchange = after(
        HEAD + GET + HEAD, 3 * b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    )
    assert exchange.opaque
    exchange = after(HEAD + GET + HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    exchange.outbound(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert exchange.responses == 2
    exchange.outbound(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    assert exchange.quiet


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 099 Low",
        b"HTTP/1.1  200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"ICY 200 OK",
        b"hello world, this is no HTTP",
        b"",
    ],
)
def test_a_malformed_status_line_is_opaque(line: bytes) -> None:
    assert after(GET, line + b"\r\n").why == "opaque: malformed status line"


@pytest.mark.parametrize(
    ("why", "response"),
    [
        ("101 Switching Protocols", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
        (
            "more than one Content-Length",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        ),
        ("malformed Content-Length", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n"),
        (
            "an unknown transfer coding",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
        ),
        (
            "Transfer-Encoding and Content-Length",
            CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n",
        ),
        (
            "Transfer-Encoding in HTTP/1.0",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("malformed chunk size", CHUNKED + b"x\r\n"),
        ("malformed header", b"HTTP/1.1 200 OK\r\nA b: c\r\n"),
    ],
)
def test_an_ambiguous_answer_is_opaque(why: str, response: bytes) -> None:
    assert after(GET, response).why == "opaque: " + why


def test_a_chunked_answer_to_http_1_0_is_opaque() -> None:
    exchange = after(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", CHUNKED)
    assert exchange.why == "opaque: Transfer-Encoding to HTTP/1.0"


def test_an_answer_that_ends_with_the_connection_never_leaves_it_quiet() -> None:
    exchange = after(GET, b"HTTP/1.1 200 OK\r\n\r\nhello")
    exchange.outbound(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert exchange.why == "the response ends when the connection closes"
    assert not exchange.opaque
