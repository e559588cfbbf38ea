"""Measures several servers in one run, taking turns: A B C A B C ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.build import BuildError
from benchmarks.loops import NotInstalledError
from benchmarks.report import DISTURBED_SHARE, Figure, Table, figure, ratio_text
from benchmarks.servers import Round, Scenario, ServerError, measure, running_server


@dataclass(slots=True)
class Outcome:
    """The results of one scenario."""

    scenario: Scenario
    reference: str
    #: In the order in which the servers were named.
    rounds: dict[str, list[Round]]
    #: Peers that are not installed, with the reason.  Not a failure.
    absent: dict[str, str] = field(default_factory=dict)
    #: Servers that gave a wrong response or none, with what was seen.
    failed: dict[str, str] = field(default_factory=dict)
    retaken: int = 0

    def cpu(self, name: str) -> Figure:
        return figure(
            [one.cpu_us_per_operation for one in self.rounds[name]],
            [one.cpu_us_per_operation for one in self.rounds.get(self.reference, [])],
        )


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def calm_round(name: str, scenario: Scenario, retakes: int) -> tuple[Round, int]:
    """A round that no other work disturbed, or else the least disturbed of the tries."""
    tries = [measure(name, scenario)]
    while tries[-1].waited_share > DISTURBED_SHARE and len(tries) <= retakes:
        tries.append(measure(name, scenario))
    return min(tries, key=lambda one: one.waited_share), len(tries) - 1


def hold(
    scenario: Scenario,
    names: Sequence[str],
    *,
    rounds: int,
    retakes: int,
    reference: str,
) -> Outcome:
    outcome = Outcome(scenario, reference, {name: [] for name in names})
    # Missing peers are found before the first round, so that they do not delay the
    # rounds of the others.
    for name in names:
        progress(f"{scenario.title}: starting {name}")
        try:
            with running_server(name, scenario):
                pass
        except (NotInstalledError, BuildError) as error:
            outcome.absent[name] = str(error)
        except ServerError as error:
            outcome.failed[name] = str(error)
    for number in range(1, rounds + 1):
        for name in names:
            if name in outcome.absent or name in outcome.failed:
                continue
            progress(f"{scenario.title}: round {number} of {rounds}, {name}")
            try:
                one, retaken = calm_round(name, scenario, retakes)
            except ServerError as error:
                outcome.failed[name] = f"round {number}: {error}"
                continue
            outcome.rounds[name].append(one)
            outcome.retaken += retaken
    progress("")
    # A server that fails once gets no figures: its good rounds may not be typical.
    for name in (*outcome.absent, *outcome.failed):
        del outcome.rounds[name]
    return outcome


def as_json(outcome: Outcome) -> dict[str, object]:
    scenario = outcome.scenario
    return {
        "kind": scenario.kind,
        "mode": scenario.mode,
        "connections": scenario.connections,
        "bytes": scenario.request_bytes,
        "seconds": scenario.seconds,
        "reference": outcome.reference,
        "retaken": outcome.retaken,
        "not_installed": outcome.absent,
        "failed": outcome.failed,
        "servers": {
            name: {
                "cpu_us_per_operation": outcome.cpu(name).as_json(),
                "rounds": [
                    {
                        "cpu_us_per_operation": round(one.cpu_us_per_operation, 4),
                        "faults_per_operation": round(one.faults_per_operation, 4),
                        "operations_per_s": round(one.operations_per_s),
                        "busy_share": round(one.busy_share, 4),
                        "waited_share": round(one.waited_share, 4),
                        "first_answers_ms": round(one.first_answers_s * 1e3, 2),
                        "least_per_connection": one.least_per_connection,
                        "most_per_connection": one.most_per_connection,
                    }
                    for one in rounds
                ],
            }
            for name, rounds in outcome.rounds.items()
        },
    }


def text(outcome: Outcome) -> str:
    table = Table(
        [
            "server",
            "us CPU/op",
            "spread",
            f"/ {outcome.reference}",
            "faults/op",
            "ops/s",
            "busy",
            "first answers",
        ]
    )
    notes = []
    for name, rounds in outcome.rounds.items():
        cpu = outcome.cpu(name)
        faults = median([one.faults_per_operation for one in rounds])
        operations_per_s = median([one.operations_per_s for one in rounds])
        busy = median([one.busy_share for one in rounds])
        first_answers_ms = median([one.first_answers_s for one in rounds]) * 1e3
        table.rows.append(
            [
                name,
                f"{cpu.median:.2f}",
                f"{cpu.least:.2f}-{cpu.most:.2f}",
                ratio_text(cpu.ratio),
                f"{faults:.3f}",
                f"{operations_per_s:,.0f}",
                f"{busy:.0%}",
                f"{first_answers_ms:.1f} ms",
            ]
        )
        if max(one.faults_per_operation for one in rounds) > 0.1:
            notes.append(
                f"{name}: its figure includes page faults; see 'Page faults' in the README"
            )
        if starved := sum(one.least_per_connection == 0 for one in rounds):
            notes.append(
                f"{name}: starved a connection in {starved} of {len(rounds)} rounds"
            )
        if disturbed := sum(one.waited_share > DISTURBED_SHARE for one in rounds):
            notes.append(
                f"{name}: {disturbed} of {len(rounds)} rounds disturbed by other work"
            )
    if outcome.retaken:
        notes.append(f"{outcome.retaken} disturbed rounds were repeated")
    notes += [f"{name}: skipped, {reason}" for name, reason in outcome.absent.items()]
    notes += [f"{name}: FAILED, {reason}" for name, reason in outcome.failed.items()]
    return "\n".join(
        [outcome.scenario.title, "", str(table), *([""] if notes else []), *notes]
    )
