"""Which requests have begun, and which responses have finished."""

import pytest

from aioadapt._http1.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_pipelined_requests_are_answered_one_by_one() -> None:
    exchange = Exchange()
    exchange.inbound(GET + GET + GET)
    assert (exchange.requests, exchange.responses) == (3, 0)
    exchange.outbound(OK)
    exchange.outbound(OK)
    assert exchange.why == "a request is being answered"
    exchange.outbound(OK)
    assert exchange.quiet
    assert (exchange.requests, exchange.responses) == (3, 3)


def test_answers_written_together_count_each() -> None:
    exchange = Exchange()
    exchange.inbound(GET + GET)
    exchange.outbound(OK + OK)
    assert exchange.quiet


def test_one_byte_of_a_next_request_ends_the_quiet() -> None:
    exchange = Exchange()
    exchange.inbound(GET)
    exchange.outbound(OK)
    exchange.inbound(b"G")
    assert exchange.why == "a request is arriving"
    assert exchange.requests == 2


def test_an_early_answer_leaves_the_request_arriving() -> None:
    exchange = Exchange()
    exchange.inbound(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel")
    exchange.outbound(OK)
    assert exchange.responses == 1
    assert exchange.why == "a request is arriving"
    exchange.inbound(b"lo")
    assert exchange.quiet


def test_an_early_answer_does_not_hide_what_is_wrong_with_the_body() -> None:
    exchange = Exchange()
    exchange.inbound(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
    exchange.outbound(OK)
    exchange.inbound(b"hello, world\r\n0\r\n\r\n")
    assert exchange.why == "opaque: malformed chunk"


def test_go_on_is_no_answer() -> None:
    exchange = Exchange()
    exchange.inbound(
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    exchange.outbound(GO_ON)
    exchange.inbound(b"hi")
    assert exchange.why == "a request is being answered"
    assert exchange.responses == 0
    exchange.outbound(OK)
    assert exchange.quiet


@pytest.mark.parametrize("early", [b"H", OK, GO_ON])
def test_an_answer_to_no_request_is_opaque(early: bytes) -> None:
    exchange = Exchange()
    exchange.outbound(early)
    assert exchange.why == "opaque: a response without a request"


def test_an_answer_to_half_a_head_is_opaque() -> None:
    """For example a 408 or 431: the server has given up on this request."""
    exchange = Exchange()
    exchange.inbound(GET[:-1])
    exchange.outbound(OK)
    assert exchange.why == "opaque: a response without a request"


def test_bytes_behind_an_answer_are_an_answer_to_no_request() -> None:
    exchange = Exchange()
    exchange.inbound(GET)
    exchange.outbound(OK + b"!")
    assert exchange.why == "opaque: a response without a request"


def test_bytes_of_a_body_that_must_not_be_are_an_answer_to_no_request() -> None:
    exchange = Exchange()
    exchange.inbound(GET)
    exchange.outbound(b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi")
    assert exchange.why == "opaque: a response without a request"


def test_64_requests_may_wait_and_no_more() -> None:
    exchange = Exchange()
    exchange.inbound(b"HEAD / HTTP/1.1\r\n\r\n" + GET * 63)
    exchange.outbound(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + OK * 62)
    exchange.inbound(GET * 63)
    assert exchange.why == "a request is being answered"
    exchange.inbound(GET)
    assert exchange.why == "opaque: too many unanswered requests"


def test_each_of_64_waiting_requests_keeps_whether_it_is_a_head() -> None:
    exchange = Exchange()
    head = b"HEAD / HTTP/1.1\r\n\r\n"
    no_body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    exchange.inbound((GET + head) * 32)
    exchange.outbound((OK + no_body) * 32)
    assert exchange.quiet
    assert exchange.responses == 64


@pytest.mark.parametrize("name", [b"Connection", b"Proxy-Connection"])
@pytest.mark.parametrize(
    "value", [b"close", b" CLOSE ", b"x,close", b"keep-alive\t,\tclose,"]
)
def test_a_client_that_will_close_never_leaves_it_quiet(
    name: bytes, value: bytes
) -> None:
    exchange = Exchange()
    exchange.inbound(b"GET / HTTP/1.1\r\n" + name + b":" + value + b"\r\n\r\n")
    assert exchange.why == "the client will close"
    exchange.outbound(OK)
    assert exchange.why == "the client will close"
    assert exchange.responses == 1
    assert not exchange.opaque


def test_a_server_that_will_close_never_leaves_it_quiet() -> None:
    exchange = Exchange()
    exchange.inbound(GET)
    exchange.outbound(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert exchange.why == "the server will close"
    assert not exchange.opaque


@pytest.mark.parametrize(
    "value", [b"keep-alive", b"closed", b"not close", b"", b",", b"Upgrade"]
)
def test_other_words_close_nothing(value: bytes) -> None:
    exchange = Exchange()
    exchange.inbound(b"GET / HTTP/1.1\r\nConnection: " + value + b"\r\n\r\n")
    exchange.outbound(OK)
    assert exchange.quiet


KEEP = b"Connection: keep-alive\r\n"


@pytest.mark.parametrize(
    ("request_head", "response_head", "quiet"),
    [
        (b"GET / HTTP/1.0\r\n", b"HTTP/1.1 200 OK\r\n", False),
        (b"GET / HTTP/1.0\r\n", b"HTTP/1.0 200 OK\r\n" + KEEP, False),
        (b"GET / HTTP/1.0\r\n" + KEEP, b"HTTP/1.1 200 OK\r\n", False),
        (b"GET / HTTP/1.0\r\n" + KEEP, b"HTTP/1.0 200 OK\r\n", False),
        (b"GET / HTTP/1.0\r\n" + KEEP, b"HTTP/1.0 200 OK\r\n" + KEEP, True),
        (b"GET / HTTP/1.0\r\n" + KEEP, b"HTTP/1.1 200 OK\r\n" + KEEP, True),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.0 200 OK\r\n", False),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.0 200 OK\r\n" + KEEP, True),
    ],
)
def test_http_1_0_is_kept_alive_only_by_both_sides_word(
    request_head: bytes, response_head: bytes, quiet: bool
) -> None:
    exchange = Exchange()
    # Each message needs its own keep-alive.
    exchange.inbound(b"GET / HTTP/1.0\r\n" + KEEP + b"\r\n")
    exchange.outbound(b"HTTP/1.0 200 OK\r\n" + KEEP + b"Content-Length: 0\r\n\r\n")
    assert exchange.why == ""
    exchange.inbound(request_head + b"\r\n")
    exchange.outbound(response_head + b"Content-Length: 0\r\n\r\n")
    assert exchange.quiet == quiet
    assert exchange.why == ("" if quiet else "HTTP/1.0 without keep-alive")


@pytest.mark.parametrize("old_side", ["client", "server"])
def test_http_1_0_with_keep_alive_leaves_nothing_behind_for_http_1_1(
    old_side: str,
) -> None:
    """A proxy may send requests of old and new clients over one connection."""
    exchange = Exchange()
    old, new = b"HTTP/1.0", b"HTTP/1.1"
    for client, server in [
        (old, old) if old_side == "client" else (new, old),
        (new, new),
        (old, new),
        (new, new),
    ]:
        exchange.inbound(b"GET / " + client + b"\r\n" + KEEP + b"\r\n")
        exchange.outbound(server + b" 200 OK\r\n" + KEEP + b"Content-Length: 0\r\n\r\n")
        assert exchange.quiet, exchange.why
    exchange.inbound(b"GET / HTTP/1.1\r\n\r\n")
    exchange.outbound(OK)
    assert exchange.quiet, exchange.why
    assert exchange.requests == 5


def test_an_empty_line_ends_the_quiet_until_the_next_request_is_answered() -> None:
    """httptools drops it; h11 buffers it and then refuses the request after it."""
    exchange = Exchange()
    for empty in b"\r\n", b"\r", b"\n", b"\r\n\r\n":
        exchange.inbound(empty)
        assert exchange.why == "a request is arriving"
    assert exchange.requests == 0
    exchange.inbound(GET)
    exchange.outbound(OK)
    assert exchange.quiet
    assert exchange.requests == 1


def test_a_repr_tells_the_state_in_words() -> None:
    exchange = Exchange()
    assert repr(exchange) == "<Exchange: 0 requests begun, 0 answered, quiet>"
    exchange.inbound(GET)
    assert repr(exchange) == (
        "<Exchange: 1 requests begun, 0 answered, a request is being answered>"
    )
