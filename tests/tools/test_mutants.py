"""The table of faults matches the sources: each entry names exactly one place."""

from collections import Counter
from pathlib import Path

import pytest

from tools.mutation.__main__ import FIRST
from tools.mutation.table import MUTANTS, Mutant

PACKAGE = Path(__file__).parents[2] / "aioadapt"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}-{m.old[:40]}")
def test_a_fault_changes_one_place(mutant: Mutant) -> None:
    assert (PACKAGE / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old


def test_there_are_faults_in_every_room_that_they_were_asked_for() -> None:
    rooms = Counter(mutant.file.split("/")[0] for mutant in MUTANTS)

    assert sum(not mutant.equivalent for mutant in MUTANTS) >= 60
    assert set(rooms) == set(FIRST)
