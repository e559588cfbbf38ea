"""Every state of a stream that leaves its driver, after every event."""

import pytest

from aioadapt._stream.detaching import EVENTS, STATES, state_after

# What comes next, where an event changes the state.
STEPS = {
    ("ATTACHED", "RELEASE"): "WANTED",
    ("WANTED", "CANCEL"): "ATTACHED",
    ("WANTED", "ADMITTED"): "SETTLING",
    ("SETTLING", "CANCEL"): "ATTACHED",
    ("SETTLING", "ACTIVITY"): "WANTED",
    ("SETTLING", "QUIET_ITERATION"): "MOVING",
    ("MOVING", "CANCEL"): "UNDOING",
    ("MOVING", "DONE_QUIET"): "GONE",
    ("MOVING", "DONE"): "WANTED",
    ("UNDOING", "RELEASE"): "UNDOING_WANTED",
    ("UNDOING", "DONE"): "ATTACHED",
    ("UNDOING_WANTED", "CANCEL"): "UNDOING",
    ("UNDOING_WANTED", "DONE"): "WANTED",
    ("ATTACHED", "SWAP"): "SWAPPING",
    ("WANTED", "SWAP"): "SWAPPING_WANTED",
    ("SWAPPING", "RELEASE"): "SWAPPING_WANTED",
    ("SWAPPING", "DONE"): "ATTACHED",
    ("SWAPPING_WANTED", "CANCEL"): "SWAPPING",
    ("SWAPPING_WANTED", "DONE"): "WANTED",
}
# What others may do at any moment; the rest the stream itself only does where it leads
# somewhere.
AT_ANY_TIME = {"RELEASE", "CANCEL", "SWAP", "END"}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_every_event_in_every_state(state: str, event: str) -> None:
    expected = STEPS.get((state, event))
    if event == "END":
        expected = "GONE"
    elif expected is None and event in AT_ANY_TIME:
        expected = state

    assert state_after(state, event) == expected


@pytest.mark.parametrize("state", STATES)
def test_a_driver_that_detaches_is_always_waited_for(state: str) -> None:
    """Only its end, or that of the stream, leads out of these states."""
    detaching = {"MOVING", "UNDOING", "UNDOING_WANTED", "SWAPPING", "SWAPPING_WANTED"}
    leads_out = {"DONE", "END"} | ({"DONE_QUIET"} if state == "MOVING" else set())

    after = {event: state_after(state, event) for event in EVENTS}

    if state in detaching:
        assert {e for e, s in after.items() if s and s not in detaching} == leads_out
    else:
        assert {e for e, s in after.items() if s in detaching} <= {
            "QUIET_ITERATION",
            "SWAP",
        }
