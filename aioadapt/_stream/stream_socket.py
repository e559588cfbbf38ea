"""The socket that a transport shows: what was written before it is used has been sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioadapt.stdlib_private import TransportSocket


class StreamSocket(TransportSocket):
    """asyncio's, which reaches for ``_sock`` in each of its methods."""

    __slots__ = ("_inner", "_send_gathered")

    def __init__(self, sock: Any, send_gathered: Callable[[], None]) -> None:
        self._inner = sock
        self._send_gathered: Callable[[], None] | None = send_gathered

    @property
    def _sock(self) -> Any:
        if self._send_gathered is not None:
            self._send_gathered()
        return self._inner

    def stream_has_ended(self) -> None:
        """Let go of the stream, which refers to this."""
        self._send_gathered = None


# Error messages name the class: "'TransportSocket' object has no attribute 'recv'".
StreamSocket.__name__ = StreamSocket.__qualname__ = TransportSocket.__name__
