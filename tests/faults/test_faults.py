"""Over the build of ``./run faults``: a few schedules, and that plans are carried out."""

import asyncio
import socket

import pytest
from loops import OURS, factory_of, or_skip

from .boundary import LIBRARY, Boundary
from .plan import FEWER, Strike
from .schedule import played, schedule_of

pytestmark = pytest.mark.skipif(
    not LIBRARY, reason="only ./run faults has the build for this"
)


@pytest.mark.parametrize("kind", OURS)
def test_a_send_is_short_where_the_plan_says_so(kind: str) -> None:
    loop = factory_of(or_skip(kind))()
    ours, theirs = socket.socketpair()
    boundary = Boundary()

    theirs.settimeout(5)

    async def write() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        boundary.arm([Strike("send", 0, FEWER, 3)])
        transport.write(b"12345")
        assert transport.get_write_buffer_size() == 2
        assert theirs.recv(100) == b"123"
        while transport.get_write_buffer_size():
            await asyncio.sleep(0)
        assert theirs.recv(100) == b"45"
        transport.close()
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(write())
        assert [str(it) for it in boundary.struck()] == ["send 0: fewer"]
        assert boundary.counts()["send"] == 2
    finally:
        boundary.disarm()
        loop.close()
        theirs.close()


@pytest.mark.parametrize("kind", OURS)
def test_schedules_hold(kind: str) -> None:
    or_skip(kind)
    problems = {
        seed: found
        for seed in range(40)
        if (found := played(schedule_of(seed, kind)).problems)
    }
    assert problems == {}
