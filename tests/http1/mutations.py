# ruff: noqa: E501 - a list of such pieces is read best with several in a row
"""Strategies for almost valid streams: bytes removed, duplicated or inserted."""

from hypothesis import strategies as st

from .conversations import extensions, requests, trailers

# What has confused parsers before: line ends, lengths, codings, white space.
INTERESTING = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f",
    b"\xff", b":", b";", b",", b'"', b"\\", b"0", b"1", b"-", b"+", b"_",
    b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"1\r\nx\r\n", b"0x5\r\n", b"5;a\nb\r\n", b'1;a="\r\n"\r\nx\r\n',
    b"ffffffffffffffff\r\n", b"7fffffffffffffff\r\n", b"00000000000000000001\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 3, 3\r\n",
    b"Content-Length: +3\r\n", b"Content-Length:\r\n", b"Content-Length : 3\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"content_length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked \r\n",
    b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding\x0b: chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n", b"X: a\r\n\tb\r\n", b"X: a\rb\r\n", b"X: a\nb\r\n",
    b"Connection: close\r\n", b"Proxy-Connection: close\r\n", b"Connection: upgrade\r\n",
    b"Connection: x, CLOSE ,y\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"Host: b\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"HEAD ", b"CONNECT ",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\r\n", b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    data = draw(valid)
    for _ in range(draw(st.integers(0, 3))):
        # Half of all edits come right after a line end, where they matter.
        line_starts = [i + 1 for i, byte in enumerate(data) if byte == 0x0A]
        anywhere = st.integers(0, len(data))
        at = draw(st.sampled_from(line_starts) | anywhere if line_starts else anywhere)
        until = at + draw(st.integers(0, 4))
        match draw(
            st.sampled_from(["insert", "insert", "insert", "lose", "double", "swap"])
        ):
            case "insert":
                data = data[:at] + draw(st.sampled_from(INTERESTING)) + data[at:]
            case "lose":
                data = data[:at] + data[until:]
            case "double":
                data = data[:until] + data[at:]
            case _:
                data = (
                    data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[until:]
                )
    return data


@st.composite
def broken_chunked_bodies(draw: st.DrawFn) -> bytes:
    end = b"\r\n"
    parts = [b"5", draw(extensions), end, b"hello", end, b"0", b"", end]
    for name, value in draw(trailers):
        parts += [name, b": ", value, end]
    parts.append(end)
    at = draw(st.integers(0, len(parts) - 1))
    broken = [b"", parts[at] * 2, draw(st.sampled_from(INTERESTING)) + parts[at]]
    parts[at] = draw(st.sampled_from(broken))
    return b"".join(parts)


@st.composite
def with_something_between(draw: st.DrawFn) -> bytes:
    """Whole requests, with bytes between them that a server may buffer or reject."""
    between = st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\x00"])
    return b"".join(draw(requests()) + draw(between) for _ in range(2))


broken_requests = st.one_of(
    mutated(st.lists(requests(), min_size=1, max_size=4).map(b"".join)),
    with_something_between(),
)
