"""Strategies for what clients and servers send, and how it is split into pieces."""

import os
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from aioadapt._http1.exchange import Exchange

from .host_servers import Answer, HostServer, chunked


def examples(count: int) -> settings:
    """The same *count* examples in every run; AIOADAPT_FUZZ=50 tries 50 times as
    many new ones."""
    factor = int(os.environ.get("AIOADAPT_FUZZ", "0"))
    return settings(
        max_examples=count * max(factor, 1),
        derandomize=not factor,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


bodies = st.binary(max_size=40) | st.just(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
extensions = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b c";d=e'])
trailers = st.lists(
    st.sampled_from([(b"Digest", b"abc"), (b"X-Empty", b""), (b"T", b'"\xff"')]),
    max_size=2,
).map(tuple)
fields = st.lists(
    st.sampled_from(
        [
            b"Accept: */*",
            b"Connection: keep-alive",
            b"Upgrade-Insecure-Requests: 1",
            b"X-Empty:",
            b"Cookie:\tcaf\xe9=1; a=b  ",
            b"Expect: 100-continue",
            b"content-lengthy: 7",
            b"X: " + b"x" * 300,
        ]
    ),
    max_size=3,
)


def pieces_of(body: bytes, step: int) -> list[bytes]:
    return [body[i : i + step] for i in range(0, len(body), step)]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"]))
    target = draw(st.sampled_from([b"/", b"/a?b=c%20d", b"/x" * 40]))
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: a", *draw(fields)]
    framing = draw(st.sampled_from(["none", "counted", "chunked"]))
    body = b""
    if framing == "counted":
        body = draw(bodies)
        name = draw(st.sampled_from([b"Content-Length: ", b"content-length:"]))
        lines.append(name + b"%d" % len(body))
    elif framing == "chunked":
        lines.append(
            draw(
                st.sampled_from(
                    [b"Transfer-Encoding: chunked", b"tRANSFER-encoding:Chunked"]
                )
            )
        )
        pieces = pieces_of(draw(bodies), draw(st.integers(1, 40)))
        body = chunked(pieces, draw(extensions), draw(trailers))
    return b"\r\n".join([*lines, b"", b""]) + body


answers = st.builds(
    Answer,
    status=st.sampled_from([200, 200, 204, 304, 404, 500]),
    framing=st.sampled_from(["counted", "chunked", "empty"]),
    body=st.binary(max_size=30),
    pieces=st.integers(1, 3),
    interim=st.lists(st.sampled_from([100, 102, 103]), max_size=2).map(tuple),
    extension=extensions,
    trailers=trailers,
)

# Bytes per piece: mostly few, so that every boundary is hit.
cuts = st.integers(1, 12) | st.integers(1, 400)


@dataclass
class Conversation:
    """One connection: a client's bytes, a server that answers, the watcher."""

    server: HostServer
    exchange: Exchange = field(default_factory=Exchange)
    answers_refused_requests: bool = False
    unwritten: bytes = b""

    def client_sends(self, data: bytes) -> None:
        refused_before = self.server.refused
        self.exchange.inbound(data)
        self.server.receive(data)
        if self.server.refused and not refused_before and self.answers_refused_requests:
            # Written immediately and before older answers, as uvicorn does.
            self.exchange.outbound(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                b"Connection: close\r\n\r\n"
            )

    def server_answers(self, answer: Answer) -> None:
        assert not self.unwritten
        self.unwritten = self.server.answer(answer)

    def server_writes(self, n: int) -> None:
        self.exchange.outbound(self.unwritten[:n])
        self.unwritten = self.unwritten[n:]

    @property
    def at_rest(self) -> bool:
        return self.server.at_rest and not self.unwritten
