"""What makes a watched HTTP/1 connection opaque, so that it cannot move."""

from asyncio import AbstractEventLoop
from typing import Any

import pytest
from parity.peers import connected
from parity.protocols import BufferedRecorder, Recorder

pytestmark = pytest.mark.ours_only


@pytest.mark.parametrize("replacement", [Recorder, BufferedRecorder])
async def test_replacing_the_protocol_makes_a_connection_opaque(
    loop: AbstractEventLoop, replacement: Any
) -> None:
    """After STARTTLS or a WebSocket upgrade, for example, it is no longer HTTP/1."""
    ours: Any = loop
    ours.watch_http1 = True

    async with connected(Recorder) as (protocol, _):
        (stream,) = ours.streams()
        assert (stream.quiet, stream.opaque) == (True, False)

        protocol.transport.set_protocol(replacement())

        assert (stream.quiet, stream.opaque) == (False, True)
        assert stream.why_not_quiet == "opaque: the protocol was replaced"
        protocol.transport.set_protocol(protocol)
        assert stream.opaque
