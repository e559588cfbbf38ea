"""The other ends: plain sockets, and what is sent between the two.

They are used between two iterations of the loop by the thread that runs it.  Over
loopback whatever one end does has reached the other end when the call returns.
"""

import socket
import ssl
import struct
from typing import Any

BUFFER_BYTES = 32768
SEGMENT_BYTES = 1400
"""So that what sockets hold does not depend on the kernel's tuning, nor its progress on
timers, as it does where a segment (64 KiB over loopback) is larger than the buffers."""

_PATTERN = bytes(range(251)) * 17000
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def pattern(start: int, size: int) -> bytes:
    """*size* bytes of an endless stream in which lost or swapped bytes are seen."""
    return _PATTERN[start % 251 :][:size]


class Peer:
    """The other end of a connection."""

    def __init__(self, sock: socket.socket, reads: bool) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.reads = reads
        self.sent = 0
        self.to_send = 0
        self.got = 0
        self.end = ""
        self.is_corrupt = False
        self.to_dribble = 0

    def move(self) -> bool:
        """Send and read what is possible; False if that is nothing."""
        if self.to_dribble and not self.to_send:
            self.to_dribble -= 1
            self.to_send = 1
        has_sent = self.to_send > 0 and self.send()
        return (self.reads and self.read()) or has_sent

    def send(self) -> bool:
        """Send what the socket takes; False if that is nothing."""
        before = self.sent
        try:
            while self.to_send:
                n = self.sock.send(pattern(self.sent, self.to_send))
                self.sent += n
                self.to_send -= n
        except _WOULD_BLOCK:
            pass
        except OSError:
            self.to_send = 0
        return self.sent != before

    def read(self) -> bool:
        """Take everything that is there; False if that is nothing."""
        before = self.got, self.end
        while not self.end:
            try:
                data = self.sock.recv(1 << 20)
            except _WOULD_BLOCK:
                break
            except OSError as error:
                self.end = type(error).__name__
                break
            if not data:
                self.end = "the end"
                self.answer_the_end()
            elif data != pattern(self.got, len(data)):
                self.is_corrupt = True
            self.got += len(data)
        return before != (self.got, self.end)

    def start_tls(self, context: ssl.SSLContext, is_server: bool) -> None:
        """From now on the socket's calls do the handshake as far as they can."""
        try:
            self.sock = context.wrap_socket(
                self.sock,
                server_side=is_server,
                server_hostname=None if is_server else "localhost",
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except OSError:
            pass  # it is closed, or reset

    def answer_the_end(self) -> None:
        """TLS waits for the other end's farewell."""
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock = self.sock.unwrap()
            except (OSError, ValueError):
                pass  # ValueError: the handshake never began

    def __str__(self) -> str:
        if self.end == "its own end":
            return self.roughly()  # how much was there when it closed
        return self._in_words(f"{self.got} bytes")

    def roughly(self) -> str:
        """How much a full socket holds is the kernel's business."""
        few = self.got < BUFFER_BYTES // 2
        return self._in_words(f"{self.got} bytes" if few else "many bytes")

    def _in_words(self, much: str) -> str:
        if self.end == "ConnectionResetError":
            much = "some bytes" if self.got else "nothing"  # a reset overtakes others
        state = f"{much}{', corrupt' if self.is_corrupt else ''}"
        return f"{state}, then {self.end}" if self.end else state


class CalledPeer(Peer):
    """One that a loop connects to: until it has, the socket is the listening one."""

    def __init__(self, sock: socket.socket, reads: bool) -> None:
        super().__init__(sock, reads)
        self.is_called = False

    def move(self) -> bool:
        if not self.is_called:
            try:
                called, _ = self.sock.accept()
            except OSError:
                return False
            self.sock.close()
            called.setblocking(False)
            self.sock = called
            self.is_called = True
        return super().move()

    def send(self) -> bool:
        return self.is_called and super().send()

    def read(self) -> bool:
        return self.is_called and super().read()


class DatagramPeer(Peer):
    """Each datagram is a part of the endless stream, so it begins with its place."""

    def __init__(self, sock: socket.socket, reads: bool, address: Any) -> None:
        super().__init__(sock, reads)
        self.count = 0
        self.address = address
        """Where it sends to; None: it is connected."""

    def send_one(self, size: int) -> None:
        data = pattern(self.sent, size)
        self.sent += 1
        try:
            if self.address is None:
                self.sock.send(data)
            else:
                self.sock.sendto(data, self.address)
        except OSError:
            pass

    def read(self) -> bool:
        before = self.count
        while self.sock.fileno() >= 0:
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                continue
            if not is_whole(data):
                self.is_corrupt = True
            self.count += 1
            self.got += len(data)
        return before != self.count

    def __str__(self) -> str:
        return f"{self.count} datagrams, {super().__str__()}"

    def roughly(self) -> str:
        return str(self)


def is_whole(datagram: bytes) -> bool:
    return datagram == pattern(datagram[0], len(datagram)) if datagram else True


def small_socket(family: int, type_: int = socket.SOCK_STREAM) -> socket.socket:
    # asyncio looks at the protocol number before it switches Nagle's algorithm off.
    is_tcp = family == socket.AF_INET and type_ == socket.SOCK_STREAM
    sock = socket.socket(family, type_, socket.IPPROTO_TCP if is_tcp else 0)
    keep_small(sock)
    return sock


def keep_small(sock: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    if sock.proto == socket.IPPROTO_TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)


def a_pair(family: str) -> tuple[socket.socket, socket.socket]:
    """The loop's end, which does not block, and the peer's."""
    if family == "unix":
        ours, theirs = socket.socketpair()
        for sock in ours, theirs:
            keep_small(sock)
    else:
        with small_socket(socket.AF_INET) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            theirs = small_socket(socket.AF_INET)
            theirs.connect(listener.getsockname())
            ours, _ = listener.accept()
    ours.setblocking(False)
    return ours, theirs


def a_datagram_pair(family: str) -> tuple[socket.socket, socket.socket]:
    """``udp``: bound only; ``connected`` and ``unix``: to each other.

    The Unix ones have names: asyncio takes one without for a socket that is not connected.
    """
    number = socket.AF_UNIX if family == "unix" else socket.AF_INET
    ours, theirs = (small_socket(number, socket.SOCK_DGRAM) for _ in "12")
    for sock in ours, theirs:
        sock.bind("" if family == "unix" else ("127.0.0.1", 0))
    if family != "udp":
        ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def reset(sock: socket.socket) -> None:
    """Close so that the other end gets a reset instead of an end of file."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
