"""Responses against real clients: one that ends for us has ended for them."""

import random
from typing import Literal

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioadapt._http1.exchange import Exchange

from .conversations import answers, examples
from .host_servers import Answer, answer_bytes
from .mutations import mutated

Method = Literal["GET", "HEAD"]
methods: st.SearchStrategy[Method] = st.sampled_from(["GET", "HEAD"])


class H11Client:
    """The client's view: it has sent one request and reads the answer."""

    def __init__(self, method: Method) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
        self._connection.send(
            h11.Request(method=method, target="/", headers=[("Host", "a")])
        )
        self._connection.send(h11.EndOfMessage())
        self.refused = False

    @property
    def satisfied(self) -> bool:
        return (
            not self.refused
            and self._connection.their_state is h11.DONE
            and self._connection.trailing_data == (b"", False)
        )

    def receive(self, data: bytes) -> None:
        if self.refused:
            return
        try:
            self._connection.receive_data(data)
            while self._connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
                pass
        except h11.RemoteProtocolError:
            self.refused = True


class HttptoolsClient:
    """It has no way to expect the answer to a HEAD, so it is used for GET only."""

    def __init__(self, method: Method) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._finals = 0
        self._complete = 0
        self._begun = 0
        self.refused = False

    @property
    def satisfied(self) -> bool:
        return not self.refused and self._begun == self._complete and self._finals == 1

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_message_complete(self) -> None:
        self._complete += 1
        self._finals += self._parser.get_status_code() >= 200

    def receive(self, data: bytes) -> None:
        if self.refused:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refused = True


@st.composite
def written_answers(draw: st.DrawFn) -> tuple[Method, bytes]:
    method = draw(methods)
    answer: Answer = draw(answers)
    return method, answer_bytes(answer, method.encode())


@st.composite
def broken_answers(draw: st.DrawFn) -> tuple[Method, bytes]:
    method, data = draw(written_answers())
    return method, draw(mutated(st.just(data)))


def asked(method: Method) -> Exchange:
    exchange = Exchange()
    exchange.inbound(method.encode() + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    return exchange


@examples(120)
@given(written=written_answers(), seed=st.integers(0, 2**32))
def test_an_answer_has_ended_exactly_when_a_client_has_it_all(
    written: tuple[Method, bytes], seed: int
) -> None:
    method, data = written
    exchange, client, choices = asked(method), H11Client(method), random.Random(seed)
    while data:
        n = choices.choice([1, 2, 3, 20, 400])
        exchange.outbound(data[:n])
        client.receive(data[:n])
        data = data[n:]
        assert exchange.quiet == client.satisfied, exchange
    assert exchange.quiet


@pytest.mark.parametrize("kind", [H11Client, HttptoolsClient])
@examples(150)
@given(written=broken_answers(), seed=st.integers(0, 2**32))
def test_quiet_is_never_while_a_client_waits_for_more(
    kind: type[H11Client | HttptoolsClient],
    written: tuple[Method, bytes],
    seed: int,
) -> None:
    method, data = written
    if kind is HttptoolsClient and method == "HEAD":
        return
    exchange, client, choices = asked(method), kind(method), random.Random(seed)
    while data:
        n = choices.choice([1, 2, 3, 20, 400])
        exchange.outbound(data[:n])
        client.receive(data[:n])
        data = data[n:]
        assert client.satisfied or not exchange.quiet, exchange
