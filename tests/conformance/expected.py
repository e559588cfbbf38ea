"""CPython tests that fail on our loops, each with the private detail that it inspects.

The list is strict: a test that passes must be removed.  It excuses no difference in
behaviour: a failure for something that a program could see is a bug.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

ENGINES = ("epoll", "uring", "swapping", "adaptive")

#: Modules that hardly connect anything: where the connections are, makes no difference.
WITHOUT_CONNECTIONS = {
    "test_base_events", "test_context", "test_futures", "test_futures2", "test_locks",
    "test_pep492", "test_queues", "test_runners", "test_subprocess", "test_taskgroups",
    "test_tasks", "test_threads", "test_timeouts", "test_waitfor",
}  # fmt: skip

#: The maximum.
MOST = 15


@dataclass(frozen=True)
class Expected:
    module: str
    test: str
    reason: str
    since: tuple[int, int] = (3, 11)
    until: tuple[int, int] = (3, 99)

    def applies(self) -> bool:
        return self.since <= sys.version_info[:2] <= self.until


EXPECTED = [
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test__run_once",
        "puts timers into _scheduled by hand and looks how long _selector.select waits",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test__run_once_schedule_handle",
        "puts a timer into _scheduled by hand, and has _process_events be a mock",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test__run_once_cancelled_event_cleanup",
        "counts the cancelled timers that wait in _scheduled; ours leave it at once",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test_run_forever_pre_stopped",
        "looks for the call of _selector.select",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test_single_selecter_event_callback_after_stopping",
        "has its own _process_events make the events ready",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test_not_implemented",
        "wants the base class's _make_socket_transport and its like, which raise",
    ),
    Expected(
        "test_base_events",
        "BaseEventLoopTests.test_custom_run_forever_integration",
        "counts the calls of its own _process_events",
        since=(3, 13),
    ),
]


def expected_in(module: str) -> dict[str, str]:
    """The reason for each test; they are the same on all engines."""
    return {
        expected.test: expected.reason
        for expected in EXPECTED
        if expected.module == module and expected.applies()
    }
