# ruff: noqa: E501 - one stream, one line
"""Streams in which two parsers have seen different requests.

However a server parses one, the watcher reports quiet only while that server is
idle; where the two servers disagree, it reports opaque.
"""

import pytest

from .conversations import Conversation
from .host_servers import HOST_SERVERS, Answer

HIDDEN = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
TE = b"Transfer-Encoding: chunked\r\n"

SMUGGLED = {
    "CL.TE": POST + b"Content-Length: 6\r\n" + TE + b"\r\n0\r\n\r\nG",
    "TE.CL": POST + TE + b"Content-Length: 4\r\n\r\n5c\r\n" + HIDDEN + b"0\r\n\r\n",
    "CL.CL": POST + b"Content-Length: 0\r\nContent-Length: 33\r\n\r\n" + HIDDEN,
    "one line, two lengths": POST + b"Content-Length: 0, 33\r\n\r\n" + HIDDEN,
    "TE with space before the colon": POST + b"Content-Length: 33\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE behind a tab": POST + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE behind a vertical tab": POST + b"Content-Length: 3\r\nTransfer-Encoding:\x0bchunked\r\n\r\nabc",
    "TE folded": POST + b"Content-Length: 3\r\nTransfer-Encoding:\r\n chunked\r\n\r\nabc",
    "TE in another header's fold": POST + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE behind a bare CR": POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE behind a lone LF": POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE behind a zero byte": POST + b"X: a\x00\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE twice": POST + TE + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE list": POST + b"Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n" + TE + b"\r\n0\r\n\r\n" + HIDDEN,
    "length with a sign": POST + b"Content-Length: +33\r\n\r\n" + HIDDEN,
    "length in a wide digit": POST + b"Content-Length: \xef\xbc\x93\r\n\r\nabc",
    "length that wraps": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "chunk size that wraps": POST + TE + b"\r\n10000000000000000\r\n" + HIDDEN + b"0\r\n\r\n",
    "chunk size with 0x": POST + TE + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with an underscore": POST + TE + b"\r\n1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    "chunk size and a space": POST + TE + b"\r\n5 \r\nhello\r\n0\r\n\r\n" + HIDDEN,
    "chunk size and LF": POST + TE + b"\r\n5\nhello\r\n0\r\n\r\n" + HIDDEN,
    "LF in a chunk extension": POST + TE + b"\r\n2;\nxx\r\n21\r\n0\r\n\r\n" + HIDDEN + b"\r\n0\r\n\r\n",
    "CR in a chunk extension": POST + TE + b"\r\n0;a\rb\r\n\r\n" + HIDDEN,
    "CRLF in a quoted chunk extension": POST + TE + b'\r\n5;a="\r\nhello\r\n0\r\n\r\n"',
    "chunk end without CRLF": POST + TE + b"\r\n5\r\nhelloXX0\r\n\r\n" + HIDDEN,
    "chunk end of LF": POST + TE + b"\r\n5\r\nhello\n0\r\n\r\n" + HIDDEN,
    "last chunk and one line end": POST + TE + b"\r\n0\r\n" + HIDDEN,
    "length in a trailer": POST + TE + b"\r\n0\r\nContent-Length: 33\r\n\r\n" + HIDDEN,
    "TE in a trailer": POST + TE + b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "request line with two spaces": b"GET /a /b HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "request line without a version": b"GET /\r\nHost: a\r\n\r\n" + HIDDEN,
    "request line behind empty lines": b"\r\n\r\n" + HIDDEN + b"\r\n" + HIDDEN,
    "request line behind LF": b"\n" + HIDDEN,
    "request line behind CR": b"\r" + HIDDEN,
    "method in lower case": b"head / HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "h2c": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade without connection": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n" + HIDDEN,
    "tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "a header without a name": POST + b": chunked\r\n\r\n" + HIDDEN,
    "a first line that is a header": b"Content-Length: 5\r\n\r\nhello",
    "body of a GET": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n" + HIDDEN + HIDDEN,
    "more behind close": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + HIDDEN,
}  # fmt: skip


def run(kind: str, sent: bytes, step: int) -> Conversation:
    """Every request is answered as soon as its head has been parsed."""
    talk = Conversation(HOST_SERVERS[kind]())
    for at in range(0, len(sent), step):
        talk.client_sends(sent[at : at + step])
        assert talk.at_rest or not talk.exchange.quiet, talk.exchange
        while talk.server.has_unanswered:
            talk.server_answers(Answer(framing="counted", body=b"hi"))
            while talk.unwritten:
                talk.server_writes(step)
                assert talk.at_rest or not talk.exchange.quiet, talk.exchange
    return talk


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("kind", HOST_SERVERS)
@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_a_smuggled_request_never_looks_quiet(
    sent: bytes, kind: str, step: int
) -> None:
    run(kind, sent, step)


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_where_two_parsers_disagree_it_is_not_quiet(sent: bytes) -> None:
    on_h11, on_httptools = run("h11", sent, 1000), run("httptools", sent, 1000)
    if (
        on_h11.at_rest != on_httptools.at_rest
        or on_h11.server.begun != on_httptools.server.begun
    ):
        assert not (on_h11.exchange.quiet and on_httptools.exchange.quiet)
