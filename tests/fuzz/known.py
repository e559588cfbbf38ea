"""Differences that are meant to be, each with its reason."""

import inspect
import re
from asyncio import selector_events

from .compare import COMPLETION, Difference
from .log import BYTES_EVENTS, Event
from .peers import BUFFER_BYTES
from .program import Program

_KNOWN = (
    # A transport that is lost while sendfile waits for it to be empty, and whose sendfile
    # is cancelled in the same iteration: asyncio sets the exception of a future that is
    # done.
    ("Exception in callback _call_connection_lost", "nothing"),
)


_WRITELINES = selector_events._SelectorSocketTransport.writelines  # type: ignore[attr-defined]
WRITELINES_FORGETS_TO_PAUSE = "self._buffer.extend" in inspect.getsource(
    _WRITELINES
) and "_maybe_pause_protocol" not in inspect.getsource(_WRITELINES)
"""In the first releases of 3.12 and 3.13."""

IN_THE_END = "in the end the peer has"
_LOST = ("ConnectionResetError", "BrokenPipeError")


def _received(event: Event) -> int:
    """How many bytes the peer has, in the event's own words."""
    found = re.match(r"(\d+) bytes", str(event[-1]))
    return int(found[1]) if found else 0


def is_known(program: Program, difference: Difference) -> bool:
    expected, seen = difference.what
    # Datagrams that wait together are read together; asyncio reads one an iteration.
    if seen == "datagram_received" and difference.expected[0] != seen:
        return True
    if (expected, seen) == ("datagram_received", "resume_writing"):
        return True
    # What asyncio's callback is called, in the words of its report.
    if (
        expected.startswith("Exception in callback")
        and seen.startswith("Exception in callback")
        and difference.expected[1] == difference.seen[1]
    ):
        return True
    # asyncio's aborted datagram transport goes on queueing what is sent without an address.
    if difference.trace.startswith("datagrams") and (expected, seen) == (
        "pause_writing",
        "connection_lost",
    ):
        return True
    # Over a lost transport asyncio's sendfile waits until it is cancelled.
    if "sendfile is in progress" in str(difference.expected):
        return True
    # A reset ends it for whoever finds it first, the receive in the kernel or a send.
    if (
        difference.kind in COMPLETION
        and expected == seen == "connection_lost"
        and difference.expected[1] in _LOST
        and difference.seen[1] in _LOST
    ):
        return True
    # A write that fails is found out when the callback ends, after what it scheduled.
    if (
        expected == "connection_lost"
        and difference.expected[1] in _LOST
        and seen in ("mark", "the peer sees")
    ):
        return True
    if any(expected.startswith(a) and seen.startswith(b) for a, b in _KNOWN):
        return True
    # The same, where the transport is lost by an error while it waits for room.
    if "InvalidStateError" in str(difference.expected) and expected.startswith(
        "Exception in callback"
    ):
        return True
    # Over io_uring bytes may have been received when the transport pauses.  If it never
    # reads on, the peer sees the end instead of the reset that unread bytes cause.
    if (
        difference.kind in COMPLETION
        and expected == seen
        and expected in ("now", IN_THE_END)
        and "then ConnectionResetError" in str(difference.expected)
        and "then the end" in str(difference.seen)
    ):
        return True
    steps = " ".join(str(step) for step in program)
    if (
        WRITELINES_FORGETS_TO_PAUSE
        and "writelines(" in steps
        and "pause_writing" in (expected, seen)
    ):
        return True
    # A run that ends in resume_writing leaves asyncio with a writer and nothing to write.
    if re.search(r"'resume_writing', do.fail\('(SystemExit|KeyboardInterrupt)'", steps):
        return True
    # asyncio's abort() after a close() that had to flush, and since 3.12 its writelines()
    # after the end, use what the transport has dropped.
    if "'NoneType' object " in str(difference.expected):
        return True
    # asyncio knows no more of a transport while another sendfile uses it, and lets others
    # watch its descriptor.
    if difference.trace == "tasks" and "KeyError" in str(difference.expected):
        return True
    if "is used by transport" in str(difference.seen) and "sendfile(" in steps:
        return True
    # The receive in the kernel learns of shutdown(SHUT_RD) before it has read what is there.
    if (
        difference.kind in COMPLETION
        and seen in {"eof_received", *BYTES_EVENTS}
        and re.search(r"do.shutdown\(\w+, [02]\)", steps)
    ):
        return True
    # Over io_uring bytes that had been received when the transport paused are delivered as
    # if resume_reading had used call_soon, so before what is given to call_soon later.
    if (
        difference.kind in COMPLETION
        and expected == "mark"
        and seen in {"eof_received", *BYTES_EVENTS}
        and "pause_reading(" in steps
    ):
        return True
    # If a reader ends the run, asyncio still calls the writer for the same report; ours
    # asks the kernel anew, and calls the reader first.
    if (expected, seen) == ("writer", "reader") and re.search(
        r"'reader', do.fail\('(SystemExit|KeyboardInterrupt)'", steps
    ):
        return True
    if (
        (expected, seen) == ("connection_lost", "eof_received")
        and difference.expected[1] in _LOST
        and re.search(
            r"'eof_received', do.fail\('(SystemExit|KeyboardInterrupt)'", steps
        )
    ):
        return True
    # How much of several buffers a full socket takes is the kernel's business: what an
    # abort leaves to the peer is more or less.
    if (
        expected == seen == "now"
        and "writelines(" in steps
        and "abort(" in steps
        and all(
            _received(event) > BUFFER_BYTES // 2
            for event in (difference.expected, difference.seen)
        )
    ):
        return True
    # Where the factory gives something that is no protocol, or ends the run, asyncio leaves
    # the socket to the garbage collector, and with it the transport that counts for its
    # number: since 3.12 of a stream, too, and the next socket of this number is refused.
    # Ours closes it.
    if not re.search(r"do.give\(|'factory', do.fail\(", steps):
        return False
    return (
        "then the end" in str(difference.seen)
        or "then ConnectionResetError" in str(difference.seen)
        or "is used by transport" in str(difference.expected)
        or (expected, seen) == ("now", "connection_made")
    )
