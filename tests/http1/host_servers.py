"""Two servers without sockets, one on h11 and one on httptools.

They take the place of uvicorn's protocols: the watcher sees bytes before they
do, and sees their answers before the client does.  Unlike real protocols they
can be asked whether they are idle.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import h11
import httptools

Framing = Literal["counted", "chunked", "empty"]


@dataclass(frozen=True)
class Answer:
    """A server's response to one request."""

    status: int = 200
    framing: Framing = "counted"
    body: bytes = b""
    pieces: int = 1
    interim: tuple[int, ...] = ()
    extension: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False

    @property
    def may_have_body(self) -> bool:
        return self.status not in (204, 304)

    def body_pieces(self) -> list[bytes]:
        step = max(1, -(-len(self.body) // self.pieces))
        return [self.body[i : i + step] for i in range(0, len(self.body), step)]


class H11Server:
    """Idle if h11 says so of both sides and buffers no byte of a next request."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
        self._unanswered: deque[bytes] = deque()
        self.begun = 0
        self.refused = False

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    @property
    def at_rest(self) -> bool:
        return (
            not self.refused
            and self._connection.their_state is h11.IDLE
            and self._connection.our_state is h11.IDLE
            and self._connection.trailing_data == (b"", False)
        )

    def receive(self, data: bytes) -> None:
        if not self.refused:
            self._connection.receive_data(data)
            self._read()

    def _read(self) -> None:
        while True:
            states = self._connection.states
            if set(states.values()) == {h11.DONE}:
                self._connection.start_next_cycle()
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError:
                self.refused = True
                return
            if isinstance(event, h11.Request):
                self.begun += 1
                self._unanswered.append(event.method)
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return

    def answer(self, answer: Answer) -> bytes:
        method = self._unanswered.popleft()
        if method == b"CONNECT":
            # Anything but a refusal would make h11 switch protocols.
            answer = Answer(status=405)
        headers: list[tuple[bytes, bytes]] = []
        if answer.close:
            headers.append((b"Connection", b"close"))
        if answer.framing == "counted":
            headers.append((b"Content-Length", b"%d" % len(answer.body)))
        events: list[h11.Event] = [
            h11.InformationalResponse(status_code=status, headers=[])
            for status in answer.interim
        ]
        events.append(h11.Response(status_code=answer.status, headers=headers))
        if method != b"HEAD" and answer.may_have_body and answer.framing != "empty":
            events += [h11.Data(data=piece) for piece in answer.body_pieces()]
        events.append(h11.EndOfMessage())
        data = b"".join(self._connection.send(event) or b"" for event in events)
        self._read()
        return data


class HttptoolsServer:
    """Idle if every message that has begun is complete and answered."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._unanswered: deque[bytes] = deque()
        self._complete = 0
        self._answered = 0
        self._closing = False
        self.begun = 0
        self.refused = False

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    @property
    def at_rest(self) -> bool:
        return (
            not self.refused
            and not self._closing
            and self.begun == self._complete == self._answered
        )

    def receive(self, data: bytes) -> None:
        if self.refused:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refused = True

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_headers_complete(self) -> None:
        self._unanswered.append(self._parser.get_method())

    def on_message_complete(self) -> None:
        self._complete += 1
        self._closing |= not self._parser.should_keep_alive()

    def answer(self, answer: Answer) -> bytes:
        method = self._unanswered.popleft()
        self._answered += 1
        self._closing |= answer.close
        return answer_bytes(answer, method)


HostServer = H11Server | HttptoolsServer
HOST_SERVERS: dict[str, Callable[[], HostServer]] = {
    "h11": H11Server,
    "httptools": HttptoolsServer,
}


def answer_bytes(answer: Answer, method: bytes) -> bytes:
    """As written by a server that formats its own answers."""
    head = [b"HTTP/1.1 %d Interim\r\n\r\n" % status for status in answer.interim]
    head.append(b"HTTP/1.1 %d Said\r\nServer: server\r\n" % answer.status)
    if answer.close:
        head.append(b"connection: close\r\n")
    body = b""
    if answer.framing == "counted":
        head.append(b"content-length: %d\r\n" % len(answer.body))
        body = answer.body
    elif answer.framing == "chunked":
        head.append(b"Transfer-Encoding: chunked\r\n")
        body = chunked(answer.body_pieces(), answer.extension, answer.trailers)
    elif answer.may_have_body:
        head.append(b"Content-Length: 0\r\n")
    head.append(b"\r\n")
    if method == b"HEAD" or not answer.may_have_body:
        body = b""
    return b"".join(head) + body


def chunked(
    pieces: list[bytes],
    extension: bytes = b"",
    trailers: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    fields = [b"%b: %b\r\n" % field for field in trailers]
    return b"".join([*chunks, b"0%b\r\n" % extension, *fields, b"\r\n"])
