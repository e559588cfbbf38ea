"""A watched server with one connection, which is released and adopted again."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Scene
from .http1 import REQUEST, Handler, Http1Protocol, answer_to


class Place:
    """A watched server, and one client connected to it."""

    def __init__(self, scene: Scene) -> None:
        scene.loop.watch_http1 = True
        self.scene = scene
        self.protocols: list[Http1Protocol] = []
        self.server = scene.serve(self.new_protocol)
        self.peer, self.stream = scene.accept(self.server)
        self.protocol = self.protocols[0]
        self.handler = Handler()

    def new_protocol(self) -> Http1Protocol:
        self.protocols.append(Http1Protocol())
        return self.protocols[-1]

    def ask(self, request: bytes = REQUEST, target: bytes = b"/one") -> None:
        self.peer.sendall(request)
        self.hear(target)

    def hear(self, *targets: bytes) -> None:
        expected = b"".join(map(answer_to, targets))
        got = b""
        self.peer.setblocking(False)

        def heard() -> bool:
            nonlocal got
            try:
                got += self.peer.recv(len(expected) - len(got))
            except BlockingIOError:
                pass
            return len(got) == len(expected)

        self.scene.until(heard)
        self.peer.settimeout(10)
        assert got == expected

    def release(self) -> None:
        self.scene.loop.call_soon(self.stream.release, self.handler)
        self.scene.run_iterations()

    def finish(self) -> Any:
        self.scene.until(lambda: self.handler.is_over)
        return self.handler.released_

    def come_back(self) -> Any:
        """The same loop adopts it, with a new protocol."""
        stream = self.scene.loop.adopt(
            self.handler.released_, self.new_protocol, self.server
        )
        self.handler.released_ = None
        return stream


@pytest.fixture
def place(scene: Scene) -> Iterator[Place]:
    place = Place(scene)
    yield place
    place.handler.close()
