"""How unexpected answers are classified."""

import pytest

from demo.judge import Answer, Fault, GarbledError, judge, read_answer


def answer(connection: int | None, sequence: int | None, status: int = 200) -> Answer:
    return Answer(status, connection, sequence, size_bytes=100)


@pytest.mark.parametrize(
    ("given", "in_flight", "fault", "answered", "lost"),
    [
        (answer(7, 4), [4, 5], Fault.FAILED, 1, 0),
        (answer(7, 6), [4, 5, 6], Fault.LOST, 3, 2),
        (answer(7, 3), [4, 5], Fault.DUPLICATED, 0, 0),
        (answer(7, 3), [], Fault.DUPLICATED, 0, 0),
        (answer(7, 9), [4, 5], Fault.MISROUTED, 1, 0),
        (answer(8, 4), [4, 5], Fault.MISROUTED, 1, 0),
        (answer(8, 4), [], Fault.MISROUTED, 0, 0),
        (answer(None, None, 500), [4, 5], Fault.FAILED, 1, 0),
        (answer(None, None, 400), [], Fault.DUPLICATED, 0, 0),
    ],
)
def test_an_answer_is_judged_by_whose_it_says_it_is(
    given: Answer, in_flight: list[int], fault: Fault, answered: int, lost: int
) -> None:
    verdict = judge(given, 7, in_flight)
    assert (verdict.fault, verdict.answered, verdict.lost) == (fault, answered, lost)


WHOLE = (
    b"HTTP/1.1 200 OK\r\nX-Connection: 7\r\nx-sequence: 4\r\n"
    b"content-length: 3\r\n\r\nabc"
)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nx-connection: 7\r\nx-sequence: 4\r\n"
    b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("data", [WHOLE, CHUNKED])
def test_an_answer_ends_where_its_length_or_its_chunks_say(data: bytes) -> None:
    assert read_answer(data + b"HTTP/1.1 ") == Answer(200, 7, 4, len(data))
    for end in range(len(data)):
        assert read_answer(data[:end]) is None


@pytest.mark.parametrize(
    "data",
    [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 ok\r\ncontent-length: 0\r\n\r\n"],
)
def test_what_is_no_answer_is_garbled(data: bytes) -> None:
    with pytest.raises(GarbledError):
        read_answer(data)
