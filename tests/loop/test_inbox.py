"""An accepted message is delivered on the loop's thread or refused, exactly once."""

import asyncio
import threading
from typing import Any

import pytest
from loops import LoopFactory

from aioadapt import LoopStoppedError

pytestmark = pytest.mark.ours_only


class RecordedMessage:
    """Records on which threads it was delivered or refused."""

    def __init__(self, number: int = 0, log: list[tuple[str, int]] | None = None):
        self.number = number
        self.log = log
        self.delivered_on: list[int] = []
        self.refused_on: list[int] = []

    def deliver(self) -> None:
        self.delivered_on.append(threading.get_ident())
        if self.log is not None:
            self.log.append(("delivered", self.number))

    def refuse(self) -> None:
        self.refused_on.append(threading.get_ident())
        if self.log is not None:
            self.log.append(("refused", self.number))


@pytest.mark.parametrize("closes", ["inbox", "loop"])
def test_every_accepted_message_is_answered_once_while_the_loop_closes(
    loop_factory: LoopFactory, closes: str
) -> None:
    """Eight threads post, and meanwhile another thread closes the inbox, or the
    loop's own thread closes the loop."""
    for _ in range(5):
        loop: Any = loop_factory()
        accepted: list[list[RecordedMessage]] = [[] for _ in range(8)]
        refused: list[RecordedMessage] = []
        running = threading.Thread(target=run_and_close, args=(loop,))
        posting = [
            threading.Thread(target=post_many, args=(loop, mine, refused))
            for mine in accepted
        ]
        for thread in (running, *posting):
            thread.start()
        while not any(len(mine) > 50 for mine in accepted):
            pass
        if closes == "inbox":
            loop.close_inbox()
        # A closed inbox does not accept call_soon_threadsafe either.
        loop.stop()
        loop._write_to_self()
        for thread in (running, *posting):
            thread.join()

        messages = [message for mine in accepted for message in mine]
        answers = {len(x.delivered_on) + len(x.refused_on) for x in messages}
        assert answers == {1}
        assert {on for x in messages for on in x.delivered_on} <= {running.ident}
        for message in refused:
            assert message.delivered_on == message.refused_on == []


def run_and_close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def post_many(
    loop: Any, accepted: list[RecordedMessage], refused: list[RecordedMessage]
) -> None:
    # Bounded because eight threads post faster than one can deliver.
    for _ in range(2000):
        message = RecordedMessage()
        try:
            loop.post(message)
        except LoopStoppedError:
            refused.append(message)
            return
        accepted.append(message)


def test_threadsafe_calls_raise_or_run_while_the_loop_stops(
    loop_factory: LoopFactory,
) -> None:
    """A call runs in the next iteration: those accepted before the loop stopped run
    when it is run once more."""
    loop = loop_factory()
    ran: list[int] = []
    accepted: list[list[int]] = [[] for _ in range(8)]
    stop = threading.Event()

    def call(thread: int) -> None:
        number = 0
        while not stop.is_set() and number < 3000:
            loop.call_soon_threadsafe(ran.append, thread * 10**6 + number)
            accepted[thread].append(thread * 10**6 + number)
            number += 1

    threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    stop.set()
    for thread in threads:
        thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    assert sorted(ran) == sorted(number for mine in accepted for number in mine)
    for writer, mine in enumerate(accepted):
        assert [n for n in ran if n // 10**6 == writer] == mine, "its order is kept"
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)


def test_what_is_undelivered_is_refused_on_the_thread_that_closes(
    loop_factory: LoopFactory,
) -> None:
    loop: Any = loop_factory()
    messages = [RecordedMessage() for _ in range(100)]
    for message in messages:
        loop.post(message)

    closing = threading.Thread(target=loop.close)
    closing.start()
    thread = closing.ident
    closing.join()

    assert all(message.refused_on == [thread] for message in messages)
    with pytest.raises(LoopStoppedError, match="accepts no more messages"):
        loop.post(RecordedMessage())


def test_a_message_is_opened_between_two_callbacks(
    loop_factory: LoopFactory,
) -> None:
    """A connection in transit may be waiting for it, served by no loop, so a message
    does not wait for a long queue of ready callbacks."""
    loop: Any = loop_factory()
    log: list[tuple[str, int]] = []

    def post() -> None:
        thread = threading.Thread(target=loop.post, args=(RecordedMessage(7, log),))
        thread.start()
        thread.join()

    loop.call_soon(post)
    for number in range(100):
        loop.call_soon(log.append, ("ran", number))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    assert log == [("delivered", 7), *[("ran", number) for number in range(100)]]


def test_messages_and_calls_each_keep_their_order(loop_factory: LoopFactory) -> None:
    loop: Any = loop_factory()
    log: list[tuple[str, int]] = []
    for number in range(500):
        loop.post(RecordedMessage(number, log))
        loop.call_soon_threadsafe(log.append, ("called", number))
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    loop.close()

    for what in ("delivered", "called"):
        assert [n for w, n in log if w == what] == list(range(500))


def test_a_message_wakes_a_sleeping_loop(loop_factory: LoopFactory) -> None:
    loop: Any = loop_factory()

    class Stop(RecordedMessage):
        def deliver(self) -> None:
            super().deliver()
            loop.stop()

    message = Stop()
    thread = threading.Timer(0.01, loop.post, args=(message,))
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()

    assert message.delivered_on == [threading.get_ident()]


class Interrupting(RecordedMessage):
    def deliver(self) -> None:
        super().deliver()
        raise KeyboardInterrupt


def test_an_interrupt_out_of_one_message_leaves_the_others_to_be_delivered(
    loop_factory: LoopFactory,
) -> None:
    """They come before messages posted during that delivery or later."""
    loop: Any = loop_factory()
    log: list[tuple[str, int]] = []

    class Posting(Interrupting):
        def deliver(self) -> None:
            loop.post(RecordedMessage(4, log))
            loop.post(RecordedMessage(5, log))
            super().deliver()

    loop.post(RecordedMessage(0, log))
    loop.post(Posting(1, log))
    loop.post(RecordedMessage(2, log))
    loop.post(RecordedMessage(3, log))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.post(RecordedMessage(6, log))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    assert log == [("delivered", number) for number in range(7)]


def test_an_interrupt_out_of_one_message_leaves_the_others_to_be_refused(
    loop_factory: LoopFactory,
) -> None:
    loop: Any = loop_factory()
    log: list[tuple[str, int]] = []
    loop.post(Interrupting(0, log))
    loop.post(RecordedMessage(1, log))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.close()

    assert log == [("delivered", 0), ("refused", 1)]


def test_messages_behind_an_interrupt_are_refused_where_the_inbox_was_closed(
    loop_factory: LoopFactory,
) -> None:
    """The first message closes the inbox after all of them have been taken from it."""
    loop: Any = loop_factory()
    log: list[tuple[str, int]] = []

    class Closing(Interrupting):
        def deliver(self) -> None:
            loop.close_inbox()
            super().deliver()

    loop.post(Closing(0, log))
    loop.post(RecordedMessage(1, log))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert log == [("delivered", 0), ("refused", 1)]
    loop.close()

    assert log == [("delivered", 0), ("refused", 1)]


def test_a_failing_message_is_reported_and_the_next_one_delivered(
    loop: asyncio.AbstractEventLoop, reported: list[dict[str, Any]]
) -> None:
    class Failing(RecordedMessage):
        def deliver(self) -> None:
            raise ValueError("no good")

    log: list[tuple[str, int]] = []
    loop.post(Failing())  # type: ignore[attr-defined]
    loop.post(RecordedMessage(1, log))  # type: ignore[attr-defined]
    loop.call_soon(loop.stop)
    loop.run_forever()

    assert log == [("delivered", 1)]
    assert "no good" in str(reported.pop()["exception"])
