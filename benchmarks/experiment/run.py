"""Runs the plan: every scenario in every mode, taking turns, round after round."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aioadapt import Thresholds
from aioadapt.measure.machine import facts
from aioadapt.measure.processes import STARTS_WITHIN_S, Child, LoadClient
from aioadapt.measure.usage import Cores, Usage, main_thread_ns, usage_at_rest

from .plan import SHORTENED, Plan, Step, thresholds

ROOT = Path(__file__).parents[2]

FAULTS = ("failed", "lost", "duplicated", "misrouted")
#: Those of the load client's counts that the record of a step keeps.
KEPT = (
    "requests", "asked", "seconds", "opened", "closed", "closed_by_server", "refused",
    "p50_s", "p99_s", "p999_s", "max_s", "mean_s", "per_slot", *FAULTS,
)  # fmt: skip


class ServerUnderTest(Child):
    """An AdaptiveServer in a process of its own."""

    def __init__(
        self,
        mode: str,
        rules: Thresholds,
        cores: frozenset[int],
        *,
        switch_interval_s: float | None = None,
    ) -> None:
        arguments = ["benchmarks.experiment.server", "--mode", mode]
        arguments += ["--thresholds", json.dumps(rules.to_json())]
        if switch_interval_s is not None:
            arguments += ["--switch-interval-s", str(switch_interval_s)]
        super().__init__(arguments, cores, cwd=ROOT)

    def port(self) -> int:
        port: int = self.hear(STARTS_WITHIN_S)["port"]
        return port


@dataclass(slots=True)
class Results:
    """The results; all of it is JSON."""

    machine: dict[str, Any]
    plan: dict[str, Any]
    thresholds: dict[str, Any]
    shortened: dict[str, Any]
    steps: list[dict[str, Any]] = field(default_factory=list)
    switches: list[dict[str, Any]] = field(default_factory=list)
    gil: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "plan": self.plan,
            "thresholds": self.thresholds,
            "shortened": self.shortened,
            "steps": self.steps,
            "switches": self.switches,
            "gil": self.gil,
        }


class Progress:
    """Is told about the progress; ignores it."""

    def say(self, what: str) -> None: ...
    def step(self) -> None: ...


def steps_in(plan: Plan) -> int:
    """How many times ``Progress.step`` is called."""
    from .gil import gil_steps

    return plan.steps + gil_steps(plan)


def perform(plan: Plan, progress: Progress | Any = None) -> Results:
    """The whole experiment.

    Raises:
        ExperimentError: a process died, or the machine is too small.
    """
    from .gil import gil_section

    progress = progress or Progress()
    rules = thresholds()
    cores = Cores.of_this_machine()
    results = Results(
        facts(),
        {"name": plan.name, "rounds": plan.rounds, "modes": list(plan.modes)},
        rules.to_json(),
        dict(SHORTENED),
    )
    for number in range(plan.rounds):
        # A different mode comes first in each round, so that none always has the same
        # neighbour.
        shift = number % len(plan.modes)
        for scenario, steps in plan.scenarios.items():
            for mode in plan.modes[shift:] + plan.modes[:shift]:
                progress.say(f"round {number + 1} of {plan.rounds}: {scenario}, {mode}")
                where = {"round": number, "mode": mode, "scenario": scenario}
                _scenario(results, where, steps, rules, cores, plan.most, progress)
    if plan.gil_s:
        results.gil = gil_section(plan, rules, cores, progress)
    return results


def _scenario(
    results: Results,
    where: dict[str, Any],
    steps: tuple[Step, ...],
    rules: Thresholds,
    cores: Cores,
    most: int,
    progress: Progress,
) -> None:
    """Run all steps of a scenario with a new server and a new load client."""
    seen = 0
    with ExitStack() as stack:
        server = stack.enter_context(
            ServerUnderTest(where["mode"], rules, cores.server)
        )
        client = stack.enter_context(LoadClient(server.port(), cores.client, most=most))
        for index, step in enumerate(steps):
            if step.begins_on and where["mode"] in ("adaptive", "routing"):
                server.ask({"do": "switch", "to": step.begins_on})
            parts = {}
            if step.settle_s:
                parts["settle"] = measure(server, client, step.settle_s, **step.load)
            parts["steady"] = measure(server, client, step.steady_s, **step.load)
            told = server.ask({"do": "tell"})
            results.steps.append(
                {
                    **where,
                    "index": index,
                    "step": step.name,
                    "connections": step.connections,
                    **parts,
                    "active": told["active"],
                    "on": told["connections"],
                }
            )
            new, seen = told["switches"][seen:], len(told["switches"])
            results.switches += [{**where, "step": step.name, **s} for s in new]
            progress.step()


def measure(
    server: Child, client: LoadClient, seconds: float, **load: Any
) -> dict[str, Any]:
    """One run of the load client, and what the server used meanwhile."""
    before, before_main_ns = usage_at_rest(server.pid), main_thread_ns(server.pid)
    said = client.run(seconds=seconds, **load)
    used = usage_at_rest(server.pid) - before
    main_ns = main_thread_ns(server.pid) - before_main_ns
    return figures(said, used, main_ns)


def figures(said: dict[str, Any], used: Usage, main_ns: int) -> dict[str, Any]:
    requests, seconds = said["requests"], said["seconds"]
    return {
        **{name: said[name] for name in KEPT},
        "requests_per_s": requests / seconds,
        "cpu_us": used.cpu_ns / 1e3 / requests if requests else 0.0,
        "busy_share": used.cpu_ns / 1e9 / seconds,
        "waited_share": used.waited_ns / 1e9 / seconds,
        # Only the control loop runs on the main thread.
        "control_share": main_ns / 1e9 / seconds,
    }
