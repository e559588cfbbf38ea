"""What the small operations of an event loop cost: ``python -m benchmarks micro``.

Each loop is measured in processes of its own, and the loops take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from aioadapt.measure.processes import pinned_to
from benchmarks.lifeline import NOT_INSTALLED
from benchmarks.loops import NotInstalledError
from benchmarks.micro_worker import SCENARIOS
from benchmarks.report import Figure, Table, figure, ratio_text
from benchmarks.servers import C_SERVERS, ROOT, ServerError

#: A child that takes longer has stopped working; a generous guess.
PATIENCE_S = 120.0


@dataclass(slots=True)
class Outcome:
    reference: str
    scenarios: list[str]
    #: CPU microseconds per operation: loop, scenario, rounds.
    rounds: dict[str, dict[str, list[float]]]
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def cpu(self, name: str, scenario: str) -> Figure | None:
        mine = self.rounds[name].get(scenario)
        if not mine:
            return None
        return figure(mine, self.rounds.get(self.reference, {}).get(scenario, []))


def measure(
    name: str, only: Sequence[str], scale: float, core: int
) -> dict[str, float | str]:
    if name in C_SERVERS:
        raise NotInstalledError("the C servers only echo")
    command = [sys.executable, "-m", "benchmarks.micro_worker", "--loop", name]
    command += [f"--scale={scale}", *(f"--only={scenario}" for scenario in only)]
    try:
        with pinned_to({core}):
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise ServerError(f"it did not finish within {PATIENCE_S:g} s") from None
    complaint = done.stderr.strip().rpartition("\n")[2]
    if done.returncode == NOT_INSTALLED:
        raise NotInstalledError(complaint)
    if done.returncode != 0:
        raise ServerError(complaint or f"it exited with status {done.returncode}")
    results: dict[str, float | str] = json.loads(done.stdout)
    return results


def hold(
    names: Sequence[str],
    *,
    only: Sequence[str] | None,
    rounds: int,
    scale: float,
    core: int,
    reference: str,
) -> Outcome:
    scenarios = list(only or SCENARIOS)
    outcome = Outcome(reference, scenarios, {name: {} for name in names})
    for _ in range(rounds):
        for name in names:
            if name not in outcome.rounds:
                continue
            try:
                results = measure(name, scenarios, scale, core)
            except NotInstalledError as error:
                outcome.absent[name] = str(error)
                del outcome.rounds[name]
            except ServerError as error:
                outcome.failed[name] = str(error)
                del outcome.rounds[name]
            else:
                for scenario, result in results.items():
                    if isinstance(result, str):
                        outcome.failed[f"{name}, {scenario}"] = result
                    else:
                        outcome.rounds[name].setdefault(scenario, []).append(result)
    return outcome


def as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "kind": "micro",
        "reference": outcome.reference,
        "not_installed": outcome.absent,
        "failed": outcome.failed,
        "loops": {
            name: {
                scenario: {
                    "cpu_us_per_operation": found.as_json(),
                    "rounds": [round(one, 4) for one in outcome.rounds[name][scenario]],
                }
                for scenario in outcome.scenarios
                if (found := outcome.cpu(name, scenario)) is not None
            }
            for name in outcome.rounds
        },
    }


def text(outcome: Outcome) -> str:
    """One row per scenario, one column per loop: microseconds and the ratio."""
    table = Table(["us CPU per operation", *outcome.rounds])
    for scenario in outcome.scenarios:
        row = [scenario]
        for name in outcome.rounds:
            cpu = outcome.cpu(name, scenario)
            row.append(
                "-" if cpu is None else f"{cpu.median:.3f} ({ratio_text(cpu.ratio)})"
            )
        table.rows.append(row)
    notes = [f"in parentheses: the ratio to {outcome.reference}"]
    notes += [f"{name}: skipped, {reason}" for name, reason in outcome.absent.items()]
    notes += [f"{name}: FAILED, {reason}" for name, reason in outcome.failed.items()]
    return "\n".join([str(table), "", *notes])
