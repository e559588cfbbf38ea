"""What the client sends, and the answers it expects."""

import random

import h11

from demo.wire import Shape, batches, chunked, cuts, opening, whole


def parsed(request: bytes) -> tuple[h11.Request, bytes]:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(request)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    return head, body


def test_every_request_is_one_whole_http_message() -> None:
    for batch in batches(random.Random(1))[:200]:
        for exchange in batch.exchanges:
            head, body = parsed(exchange.request(17, 4))
            assert head.target == b"/17/4"
            chunks = (b"transfer-encoding", b"chunked") in head.headers
            assert chunks == (batch.shape is Shape.CHUNKED)
            if not chunks:
                assert exchange.answer(17, 4).endswith(b"\r\n\r\n" + body)


def test_the_answer_repeats_who_asked() -> None:
    assert opening("uring") + whole(b"hello").answer(17, 204) == (
        b"HTTP/1.1 200 OK\r\nx-engine: uring\r\nx-connection: 17\r\nx-sequence: 204\r\n"
        b"content-length: 5\r\n\r\nhello"
    )
    assert chunked([b"he", b"llo"]).answer(17, 204) == (
        b"x-connection: 17\r\nx-sequence: 204\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    )


def test_only_who_leaves_asks_for_a_close() -> None:
    assert b"connection: close\r\n" in whole(b"bye", last=True).request(1, 1)
    for batch in batches(random.Random(2)):
        for exchange in batch.exchanges:
            head, _, _ = exchange.request(1, 1).partition(b"\r\n\r\n")
            assert b"connection: close" not in head


def test_every_shape_is_sent() -> None:
    made = batches(random.Random(3))
    assert {batch.shape for batch in made} == set(Shape)
    pipelined = [b for b in made if b.shape is Shape.PIPELINED]
    assert {len(batch.exchanges) for batch in pipelined} == {2, 3, 4}


def test_the_pieces_of_a_dribbled_request_are_the_request() -> None:
    rng = random.Random(4)
    data = rng.randbytes(300)
    for _ in range(100):
        pieces = [data[cut] for cut in cuts(len(data), rng)]
        assert b"".join(pieces) == data
        assert all(pieces)
        assert 2 <= len(pieces) <= 6
