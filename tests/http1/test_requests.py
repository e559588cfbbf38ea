"""Where a request ends, and what makes its end ambiguous."""

import pytest

from aioadapt._http1.exchange import Exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def seen(data: bytes) -> Exchange:
    exchange = Exchange()
    exchange.inbound(data)
    return exchange


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"HEAD /a?b=c%20d HTTP/1.1\r\nHost:a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://a/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"M-SEARCH * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Empty:\r\nCookie: caf\xe9\ta \r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        POST + b"Content-Length: 0\r\n\r\n",
        POST + b"content-LENGTH:\t005 \r\n\r\nhello",
        POST + b"Content-Length: 29\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\nxx",
        CHUNKED + b"0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        CHUNKED + b'5;a;b=c;d="e; f"\r\nhello\r\n0;last\r\n\r\n',
        CHUNKED + b"0\r\nDigest: abc\r\nX-Empty:\r\n\r\n",
        POST + b"transfer-encoding:  Chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_request_ends_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    exchange = Exchange()
    for i in range(len(request_bytes)):
        assert exchange.why == ("a request is arriving" if i else "")
        exchange.inbound(request_bytes[i : i + 1])

    assert exchange.why == "a request is being answered"
    assert exchange.requests == 1
    exchange.inbound(request_bytes)
    assert exchange.requests == 2


def test_a_connection_that_has_seen_nothing_is_quiet() -> None:
    assert Exchange().quiet


def test_no_bytes_change_nothing() -> None:
    exchange = seen(b"")
    exchange.outbound(b"")
    assert exchange.quiet


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        (
            "Upgrade",
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ),
        ("Upgrade", b"GET / HTTP/1.1\r\nUPGRADE: h2c\r\n\r\n"),
    ],
)
def test_a_request_for_another_protocol_is_opaque(why: str, data: bytes) -> None:
    assert seen(data).why == "opaque: " + why


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/11",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET HTTP/1.1",
        b" GET / HTTP/1.1",
        b" / HTTP/1.1",
        b"GET  HTTP/1.1",
        b"get / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"GET /\rx HTTP/1.1",
        b"\rGET / HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK",
    ],
)
def test_a_malformed_request_line_is_opaque(line: bytes) -> None:
    assert seen(line + b"\r\n").why == "opaque: malformed request line"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length : 5",
        b"Content-Length",
        b": 5",
        b"Host\x00: a",
        b"H\xf6st: a",
        b"Transfer-Encoding\x0b: chunked",
        b"X: a\x00b",
        b"X: a\x01b",
        b"X: a\x7fb",
        b"X: a\rb",
        b"X: a\r",
    ],
)
def test_a_malformed_header_is_opaque_in_a_head_and_in_a_trailer(header: bytes) -> None:
    for before in POST, CHUNKED + b"0\r\n":
        assert seen(before + header + b"\r\n").why == "opaque: malformed header"


@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_a_folded_header_is_opaque(blank: bytes) -> None:
    exchange = seen(POST + b"X: a\r\n" + blank + b"b\r\n\r\n")
    assert exchange.why == "opaque: a header folded over several lines"


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"GET / HTTP/1.1\n",
        POST + b"X: a\n",
        POST + b"\n",
        POST + b"X: a\nTransfer-Encoding: chunked\r\n",
        CHUNKED + b"5\nhello\r\n",
        CHUNKED + b"5\r\nhello\n",
        CHUNKED + b"0\r\n\n",
    ],
)
def test_a_line_that_ends_without_cr_is_opaque(data: bytes) -> None:
    """h11 accepts most of these, llhttp none."""
    assert seen(data).why == "opaque: a line that ends without CR"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"+5",
        b"-5",
        b"5 5",
        b"5,5",
        b"0x5",
        b"5.0",
        b"\xb2",
        b"9" * 19,
        b"1" * 400,
    ],
)
def test_a_content_length_that_is_no_plain_number_is_opaque(value: bytes) -> None:
    exchange = seen(POST + b"Content-Length: " + value + b"\r\n")
    assert exchange.why == "opaque: malformed Content-Length"


def test_the_largest_content_length_is_no_overflow() -> None:
    exchange = seen(POST + b"Content-Length: 9223372036854775807\r\n\r\n" + b"x" * 1000)
    assert exchange.why == "a request is arriving"


@pytest.mark.parametrize("second", [b"6", b"5"])
def test_two_content_lengths_are_opaque_even_if_they_agree(second: bytes) -> None:
    """h11 accepts two that agree, llhttp does not."""
    exchange = seen(POST + b"Content-Length: 5\r\nContent-Length: " + second + b"\r\n")
    assert exchange.why == "opaque: more than one Content-Length"


@pytest.mark.parametrize(
    "headers",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_length_beside_a_coding_is_opaque(headers: bytes) -> None:
    exchange = seen(POST + headers + b"\r\n")
    assert exchange.why == "opaque: Transfer-Encoding and Content-Length"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"gzip",
        b"identity",
        b"gzip, chunked",
        b"chunked, chunked",
        b"xchunked",
        b"chunkedx",
        b"chunked;q=1",
        b'"chunked"',
        b"chunked\t",
        b"\x09chunked",
        b"chunked,",
    ],
)
def test_an_unknown_transfer_coding_is_opaque(value: bytes) -> None:
    exchange = seen(POST + b"Transfer-Encoding: " + value + b"\r\n")
    assert exchange.why == "opaque: an unknown transfer coding"


def test_a_coding_given_twice_is_opaque() -> None:
    exchange = seen(POST + 2 * b"Transfer-Encoding: chunked\r\n")
    assert exchange.why == "opaque: an unknown transfer coding"


def test_a_coding_in_http_1_0_is_opaque() -> None:
    exchange = seen(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert exchange.why == "opaque: Transfer-Encoding in HTTP/1.0"


@pytest.mark.parametrize(
    "size",
    [b"", b" 5", b"g", b"-5", b"+5", b";a", b"8" + b"0" * 15, b"f" * 16, b"0" * 17],
)
def test_a_malformed_chunk_size_is_opaque(size: bytes) -> None:
    exchange = seen(CHUNKED + size + b"\r\n")
    assert exchange.why == "opaque: malformed chunk size"


@pytest.mark.parametrize(
    "rest",
    [
        b"x",
        b" ",
        b" ;a",
        b"\t",
        b";",
        b"; a",
        b";a =b",
        b";=b",
        b";a=",
        b';a="b',
        b';a="b"c',
        b';a="b\\""',
        b";a;",
        b";a\x00",
        b";a\rb",
        b";\xe9",
    ],
)
def test_a_malformed_chunk_extension_is_opaque(rest: bytes) -> None:
    exchange = seen(CHUNKED + b"5" + rest + b"\r\n")
    assert exchange.why == "opaque: malformed chunk extension"


@pytest.mark.parametrize("data", [b"hello!\r\n", b"hell\r\n0\r\n", b"hello0\r\n\r\n"])
def test_a_chunk_longer_or_shorter_than_its_size_is_opaque(data: bytes) -> None:
    assert seen(CHUNKED + b"5\r\n" + data).opaque


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 5",
        b"transfer-encoding: chunked",
        b"Connection: close",
        b"Proxy-Connection: close",
        b"Upgrade: x",
    ],
)
def test_a_trailer_that_speaks_of_framing_is_opaque(header: bytes) -> None:
    exchange = seen(CHUNKED + b"0\r\n" + header + b"\r\n")
    assert exchange.why == "opaque: a framing header in a trailer"


def test_opaque_is_for_good() -> None:
    exchange = seen(b"nonsense\r\n")
    exchange.inbound(b"GET / HTTP/1.1\r\n\r\n")
    exchange.outbound(OK)
    assert exchange.opaque
    assert exchange.why == "opaque: malformed request line"
    assert not exchange.quiet
    assert (exchange.requests, exchange.responses) == (1, 0)
