"""What aioadapt was first asked for, once more with an adaptive loop on one thread."""

from collections.abc import Iterator

import pytest
from acceptance import test_seed
from acceptance.test_seed import pytestmark, uring  # noqa: F401  # pytest finds them here

import aioadapt


class InPlaceOfEpoll(aioadapt.LoopThread):
    @property
    def engine(self) -> str:
        """What moves are counted by."""
        return "epoll"


@pytest.fixture
def epoll() -> Iterator[aioadapt.LoopThread]:
    with InPlaceOfEpoll("adaptive", name="epoll") as thread:
        assert isinstance(thread.loop, aioadapt.AdaptiveEventLoop)
        yield thread


test_an_idle_connection_moves = (
    test_seed.test_an_idle_connection_moves_to_the_other_loop_and_back
)


def test_call_soon_threadsafe_wakes_it_through_an_eventfd() -> None:
    test_seed.test_call_soon_threadsafe_wakes_a_sleeping_loop_through_an_eventfd(
        "adaptive"
    )
