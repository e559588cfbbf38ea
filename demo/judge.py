"""What is wrong with a response that is not, byte for byte, the expected one.

The client's fast path only compares.  When the comparison fails, the response is
parsed here, as far as needed to find the request that it belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

EXAMPLES_AT_MOST = 20


class Fault(Enum):
    FAILED = "an error, another status, or not the bytes that were asked for"
    LOST = "a request without a response"
    DUPLICATED = "a second response, or bytes that were not requested"
    MISROUTED = "the response to another connection's request, or out of order"


class GarbledError(Exception):
    """The bytes are not a response; where the next one begins is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """As much of a response as is needed to find its request."""

    status: int
    connection: int | None
    sequence: int | None
    size_bytes: int  # head and body, on the wire


@dataclass(frozen=True, slots=True)
class Verdict:
    fault: Fault
    answered: int  # how many requests this settles, from the oldest in flight
    lost: int = 0  # how many of these were skipped, and so are lost
    why: str = ""


@dataclass(slots=True)
class Faults:
    counts: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))
    examples: list[str] = field(default_factory=list)

    def add(self, fault: Fault, why: str, count: int = 1) -> None:
        self.counts[fault] += count
        if count and len(self.examples) < EXAMPLES_AT_MOST:
            self.examples.append(f"{fault.name.lower()}: {why}")

    def as_counts(self) -> dict[str, int]:
        return {fault.name.lower(): count for fault, count in self.counts.items()}


def read_answer(data: bytes) -> Answer | None:
    """The response that *data* begins with; None while more bytes are needed."""
    head, blank, _ = data.partition(b"\r\n\r\n")
    if not data.startswith(b"HTTP/1.1 "[: len(data)]):
        raise GarbledError(f"a response begins with {data[:40]!r}")
    if not blank:
        return None
    status_line, *lines = head.split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (x.partition(b":") for x in lines)
    }
    body_start = len(head) + len(blank)
    try:
        status = int(status_line.split(b" ")[1])
        if headers.get(b"transfer-encoding") == b"chunked":
            end = _end_of_chunks(data, body_start)
        else:
            end = body_start + int(headers[b"content-length"])
        if end is None or len(data) < end:
            return None
        return Answer(
            status,
            _number(headers, b"x-connection"),
            _number(headers, b"x-sequence"),
            end,
        )
    except (KeyError, ValueError, IndexError):
        raise GarbledError(f"a response has the head {head[:200]!r}") from None


def _number(headers: dict[bytes, bytes], name: bytes) -> int | None:
    return int(headers[name]) if name in headers else None


def _end_of_chunks(data: bytes, start: int) -> int | None:
    while True:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return None
        size = int(data[start:line_end], 16)
        start = line_end + 2 + size + 2
        if size == 0:
            return start


def judge(answer: Answer, connection: int, in_flight: Sequence[int]) -> Verdict:
    """Judge *answer*, received on *connection* with *in_flight*, oldest first.

    Of two responses in the wrong order, the first counts as a lost one and the
    second as a duplicate.
    """
    whose = (
        f"connection {connection} waits for {list(in_flight)[:4]}, received {answer}"
    )
    expected = in_flight[0] if in_flight else None
    if answer.connection is not None and answer.connection != connection:
        return Verdict(Fault.MISROUTED, answered=1 if in_flight else 0, why=whose)
    if answer.sequence is None or answer.sequence == expected:
        # An error page carries no number.  It stands for the oldest response.
        if not in_flight:
            return Verdict(Fault.DUPLICATED, answered=0, why=whose)
        return Verdict(Fault.FAILED, answered=1, why=whose)
    if answer.sequence in in_flight:
        passed_over = in_flight.index(answer.sequence)
        return Verdict(
            Fault.LOST, answered=passed_over + 1, lost=passed_over, why=whose
        )
    if expected is None or answer.sequence < expected:
        return Verdict(Fault.DUPLICATED, answered=0, why=whose)
    return Verdict(Fault.MISROUTED, answered=1, why=whose)
