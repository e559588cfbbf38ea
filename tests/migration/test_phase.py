"""The table of phases, checked completely."""

import itertools

import pytest

from aioadapt import MigrationOrderError
from aioadapt.migration.move import follow
from aioadapt.migration.phase import ENDS, OWNERS, TRANSITIONS, Event, Owner, Phase

EVERY_PAIR = list(itertools.product(Phase, Event))
ALLOWED = [pair for pair in EVERY_PAIR if pair in TRANSITIONS]
FORBIDDEN = [pair for pair in EVERY_PAIR if pair not in TRANSITIONS]


def test_every_phase_names_who_closes_the_descriptor() -> None:
    assert OWNERS.keys() == set(Phase)


def test_every_event_leads_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_the_ends_are_exactly_the_phases_with_no_way_out() -> None:
    assert set(Phase) - {phase for phase, _ in TRANSITIONS} == ENDS


def test_every_phase_can_be_reached() -> None:
    reached = {Phase.SERVING}
    for _ in Phase:
        reached |= {to for (phase, _), to in TRANSITIONS.items() if phase in reached}

    assert reached == set(Phase)


def test_an_end_can_be_reached_from_every_phase() -> None:
    ending = set(ENDS)
    for _ in Phase:
        ending |= {phase for (phase, _), to in TRANSITIONS.items() if to in ending}

    assert ending == set(Phase)


def test_once_detached_it_is_never_served_by_the_source_as_if_nothing_happened() -> (
    None
):
    """Its old protocol's connection_lost has been called."""
    reached = {Phase.CARRIED}
    for _ in Phase:
        reached |= {to for (phase, _), to in TRANSITIONS.items() if phase in reached}

    assert reached == {Phase.CARRIED, *ENDS}


def test_the_descriptor_changes_hands_only_with_release_and_the_last_event() -> None:
    handed_over = {
        (OWNERS[phase], event, OWNERS[to])
        for (phase, event), to in TRANSITIONS.items()
        if OWNERS[phase] is not OWNERS[to]
    }

    assert handed_over == {
        (Owner.SOURCE, Event.RELEASED, Owner.DETACHED_SOCKET),
        (Owner.SOURCE, Event.ENDED, Owner.NOBODY),
        (Owner.DETACHED_SOCKET, Event.ADOPTED, Owner.TARGET),
        (Owner.DETACHED_SOCKET, Event.TAKEN_BACK, Owner.SOURCE),
        (Owner.DETACHED_SOCKET, Event.NOT_ADOPTED, Owner.NOBODY),
    }


def named(value: object) -> str:
    return value.name if isinstance(value, Phase | Event) else str(value)


@pytest.mark.parametrize(("phase", "event"), ALLOWED, ids=named)
def test_what_the_table_has_is_followed(phase: Phase, event: Event) -> None:
    assert follow(phase, event, connection_id=7) is TRANSITIONS[phase, event]


@pytest.mark.parametrize(("phase", "event"), FORBIDDEN, ids=named)
def test_what_the_table_lacks_is_refused_by_name(phase: Phase, event: Event) -> None:
    with pytest.raises(
        MigrationOrderError, match=rf"connection 7 is {phase.name} .* {event.name} "
    ):
        follow(phase, event, connection_id=7)
