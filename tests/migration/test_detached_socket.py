"""The DetachedSocket: the only owner of a descriptor that no loop serves."""

import gc
import os
import socket
from collections.abc import Iterator

import pytest

from aioadapt import MigrationOrderError
from aioadapt.migration.detached_socket import DetachedSocket

from .scripted import ScriptedReleased, peer_sees_the_end

Pair = tuple[ScriptedReleased, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    with peer:
        yield (
            ScriptedReleased(
                fd=ours.detach(), peername="peer", id=7, tag=None, unread=b"GET"
            ),
            peer,
        )


def test_a_detached_socket_that_is_lost_closes_its_descriptor_and_warns(
    pair: Pair,
) -> None:
    released, peer = pair
    lost = [DetachedSocket(released)]

    with pytest.warns(ResourceWarning, match="connection 7 .* was lost"):
        lost.clear()

    assert peer_sees_the_end(peer)


def test_what_was_taken_is_the_takers_to_close(pair: Pair) -> None:
    released, peer = pair
    carry = DetachedSocket(released)

    taken = carry.take()
    del carry
    gc.collect()

    assert not peer_sees_the_end(peer)
    os.close(taken.fd)


def test_a_detached_socket_is_taken_once(pair: Pair) -> None:
    carry = DetachedSocket(pair[0])
    fd = carry.take().fd

    with pytest.raises(MigrationOrderError, match="holds nothing"):
        carry.take()
    with pytest.raises(MigrationOrderError):
        carry.close()

    os.close(fd)


def test_what_is_put_back_is_owned_by_the_detached_socket_again(pair: Pair) -> None:
    released, peer = pair
    carry = DetachedSocket(released)

    carry.put_back(carry.take())
    carry.close()

    assert peer_sees_the_end(peer)


def test_nothing_is_put_into_a_detached_socket_that_was_not_taken(pair: Pair) -> None:
    released, peer = pair
    carry = DetachedSocket(released)

    with pytest.raises(MigrationOrderError, match="was not taken"):
        carry.put_back(released)

    assert not peer_sees_the_end(peer)
    carry.close()


def test_a_detached_socket_takes_back_its_own_connection_only(pair: Pair) -> None:
    carry = DetachedSocket(pair[0])
    taken = carry.take()
    other = ScriptedReleased(fd=-1, peername="other", id=8, tag=None)

    with pytest.raises(MigrationOrderError, match="cannot put connection 8 back into"):
        carry.put_back(other)

    os.close(taken.fd)


def test_a_detached_socket_says_in_words_what_it_holds(pair: Pair) -> None:
    carry = DetachedSocket(pair[0])

    assert repr(carry) == (
        f"<DetachedSocket of connection 7 from 'peer': holds fd {pair[0].fd}, 3 unread bytes>"
    )

    carry.close()
    assert "holds nothing" in repr(carry)
