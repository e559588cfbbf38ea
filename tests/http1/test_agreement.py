"""The watcher against real parsers: streams cut and interleaved at random."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioadapt._http1.exchange import Exchange

from .conversations import Conversation, answers, examples, requests
from .host_servers import HOST_SERVERS, Answer
from .mutations import broken_chunked_bodies, broken_requests

seeds = st.integers(0, 2**32)


def converse(
    talk: Conversation,
    sent: bytes,
    replies: list[Answer],
    choices: random.Random,
) -> Iterator[None]:
    """Cut and interleave at random, but only in ways that can happen: a server
    answers requests that it has seen, in order, and writes each answer.  It may
    answer before the request's body has arrived, and does so if it is eager."""
    replies = list(replies)
    client_goes_first = choices.choice([0.1, 0.6])
    while True:
        n = choices.choice([1, 2, 3, 7, 40, 400])
        can_answer = talk.server.has_unanswered and len(replies) > 0
        if sent and (
            choices.random() < client_goes_first or not (talk.unwritten or can_answer)
        ):
            talk.client_sends(sent[:n])
            sent = sent[n:]
        elif talk.unwritten:
            talk.server_writes(n)
        elif can_answer:
            talk.server_answers(replies.pop(0))
        else:
            return
        yield


@pytest.mark.parametrize("kind", HOST_SERVERS)
@examples(120)
@given(exchanges=st.lists(st.tuples(requests(), answers), max_size=4), seed=seeds)
def test_quiet_is_exactly_when_a_real_parser_is_at_rest(
    kind: str, exchanges: list[tuple[bytes, Answer]], seed: int
) -> None:
    talk = Conversation(HOST_SERVERS[kind]())
    sent = b"".join(request for request, _ in exchanges)
    replies = [answer for _, answer in exchanges]

    for _ in converse(talk, sent, replies, random.Random(seed)):
        assert talk.exchange.quiet == talk.at_rest, talk.exchange
        assert not talk.exchange.opaque, talk.exchange
        if kind == "httptools":
            assert talk.exchange.requests == talk.server.begun

    assert talk.exchange.quiet
    assert talk.exchange.requests == talk.server.begun == len(exchanges)
    assert talk.exchange.responses == len(exchanges)


@pytest.mark.parametrize("kind", HOST_SERVERS)
@examples(200)
@given(
    sent=broken_requests,
    replies=st.lists(answers, min_size=4, max_size=6),
    seed=seeds,
    answers_refused_requests=st.booleans(),
)
def test_quiet_is_never_while_a_real_parser_holds_bytes_or_has_refused_some(
    kind: str,
    sent: bytes,
    replies: list[Answer],
    seed: int,
    answers_refused_requests: bool,
) -> None:
    talk = Conversation(
        HOST_SERVERS[kind](), answers_refused_requests=answers_refused_requests
    )
    for _ in converse(talk, sent, replies, random.Random(seed)):
        assert talk.at_rest or not talk.exchange.quiet, talk.exchange


@pytest.mark.parametrize("kind", HOST_SERVERS)
@examples(300)
@given(body=broken_chunked_bodies(), step=st.sampled_from([1, 2, 5, 1000]))
def test_quiet_is_never_while_a_body_breaks_that_has_its_answer_already(
    kind: str, body: bytes, step: int
) -> None:
    talk = Conversation(HOST_SERVERS[kind]())
    talk.client_sends(b"POST / HTTP/1.1\r\nHost: a\r\n")
    talk.client_sends(b"Transfer-Encoding: chunked\r\n\r\n")
    talk.server_answers(Answer())
    talk.server_writes(len(talk.unwritten))
    assert talk.exchange.responses == 1

    for at in range(0, len(body), step):
        talk.client_sends(body[at : at + step])
        assert talk.at_rest or not talk.exchange.quiet, talk.exchange


@examples(150)
@given(sent=broken_requests, seed=seeds)
def test_how_the_bytes_are_cut_changes_nothing(sent: bytes, seed: int) -> None:
    choices = random.Random(seed)
    for length in {choices.randint(0, len(sent)), len(sent)}:
        whole, bytewise, cut = Exchange(), Exchange(), Exchange()
        whole.inbound(sent[:length])
        for i in range(length):
            bytewise.inbound(sent[i : i + 1])
        at = 0
        while at < length:
            n = min(choices.choice([0, 1, 2, 5, 20, 100]), length - at)
            cut.inbound(sent[at : at + n])
            at += n
        assert state(whole) == state(bytewise) == state(cut)


def state(exchange: Exchange) -> tuple[object, ...]:
    return exchange.requests, exchange.responses, exchange.quiet, exchange.why
