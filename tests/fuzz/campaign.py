"""One seed: play its program on each loop, and say where they differ."""

import gc
from collections import Counter
from dataclasses import dataclass, field

from .compare import Difference, difference
from .isolated import Died, isolated
from .known import is_known
from .log import Traces
from .program import Program, program_of, script_of
from .shrink import shrunk
from .tls_verbs import contexts
from .world import played_in_a_world

WITHIN_S = 30.0


@dataclass(frozen=True)
class Finding:
    seed: int
    kind: str
    what: str
    details: str


@dataclass
class Outcome:
    reached: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def find(seed: int, kinds: tuple[str, ...]) -> Outcome:
    program = program_of(seed)
    contexts()  # once, for all child processes
    gc.freeze()  # what is here now is not collected in each of them
    try:
        expected, reached = isolated(lambda: _on_asyncio(program), WITHIN_S)
    except Died as died:
        return Outcome(findings=[_finding(seed, "asyncio", died)])
    outcome = Outcome(reached=reached)
    for kind in kinds:
        if (found := _found(program, kind, expected)) is not None:
            outcome.findings.append(_finding(seed, kind, found))
    return outcome


def _finding(seed: int, kind: str, found: Difference | Died) -> Finding:
    if isinstance(found, Died):
        return Finding(seed, kind, f"{kind}: {found}", str(found))
    expected, seen = found.what
    return Finding(seed, kind, f"{kind}: {expected} / {seen}", str(found))


def _found(
    program: Program, kind: str, expected: Traces | None = None
) -> Difference | Died | None:
    """What differs; found in a child process, which may crash."""
    try:
        found = isolated(lambda: difference(program, kind, expected), WITHIN_S)
    except Died as died:
        return died
    return None if found is None or is_known(program, found) else found


def _on_asyncio(program: Program) -> tuple[Traces, Counter[str]]:
    """What is seen there, and how often it came to each verb and each callback."""
    world = played_in_a_world(program, "asyncio")
    return world.log.traces, Counter(world.verbs) + Counter(world.log.callbacks)


def script_with_comment(finding: Finding) -> str:
    """The shortest program with the same difference, as a script."""

    def still(program: Program) -> bool:
        found = _found(program, finding.kind)
        return (
            found is not None and _finding(0, finding.kind, found).what == finding.what
        )

    program = shrunk(program_of(finding.seed), still)
    found = _found(program, finding.kind)
    return f"# Seed {finding.seed}. {found}\n{script_of(program, finding.kind)}"
