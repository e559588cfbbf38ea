"""What the experiment runs: modes, scenarios and steps, and their durations."""

from dataclasses import dataclass, replace

from aioadapt import Thresholds

MODES = ("epoll", "uring", "adaptive", "routing")

#: As shown in the report.
MODE_NAMES = {
    "epoll": "epoll only",
    "uring": "io_uring only",
    "adaptive": "adaptive, connections move",
    "routing": "adaptive, new connections only",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One load.  It first runs for ``settle_s``, then is measured for ``steady_s``.

    Both parts are recorded; the cost of a switch is in the first.
    """

    name: str
    connections: int
    settle_s: float
    steady_s: float
    body_bytes: int = 128
    large_bytes: int = 0
    large_share: float = 0.0
    requests_per_connection: int = 0
    think_s: float = 0.0
    #: In the modes that adapt, new and live connections are first switched to this
    #: engine by force.
    begins_on: str = ""

    @property
    def load(self) -> dict[str, float]:
        return {
            "connections": self.connections,
            "body_bytes": self.body_bytes,
            "large_bytes": self.large_bytes,
            "large_share": self.large_share,
            "requests_per_connection": self.requests_per_connection,
            "think_s": self.think_s,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    rounds: int
    modes: tuple[str, ...]
    scenarios: dict[str, tuple[Step, ...]]
    #: Seconds of each measurement in the section about the GIL; 0 leaves it out.
    gil_s: float
    gil_rounds: int
    gil_connections: int
    switch_intervals_s: tuple[float, ...]

    @property
    def most(self) -> int:
        steps = [step for steps in self.scenarios.values() for step in steps]
        return max([self.gil_connections, *(step.connections for step in steps)])

    @property
    def steps(self) -> int:
        each = sum(len(steps) for steps in self.scenarios.values())
        return self.rounds * len(self.modes) * each


def scenarios(
    ramp: tuple[int, ...],
    *,
    burst: int,
    settle_s: float,
    steady_s: float,
    calm_s: float,
) -> dict[str, tuple[Step, ...]]:
    up_and_down = (*ramp, *ramp[-2::-1])
    return {
        "ramp": tuple(
            Step(
                f"{connections:,}{' (down)' if index >= len(ramp) else ''}",
                connections,
                settle_s,
                steady_s,
            )
            for index, connections in enumerate(up_and_down)
        ),
        # The think time is so long that there is too little traffic to judge.  Then all
        # connections send requests at the same time, and none of them is new.
        "burst": (
            Step("open", burst, 0.0, calm_s / 2, think_s=20.0),
            Step("calm", burst, 0.0, calm_s, think_s=20.0, begins_on="epoll"),
            Step("burst", burst, settle_s, 2 * steady_s),
        ),
        "churn": (
            Step(
                "20 requests each",
                burst // 4,
                settle_s,
                2 * steady_s,
                requests_per_connection=20,
            ),
        ),
        "mix": (
            Step(
                "a tenth of 64 KiB",
                burst // 2,
                settle_s,
                2 * steady_s,
                large_bytes=65_536,
                large_share=0.1,
            ),
        ),
    }


# A decision that must be sustained takes 0.75 s, and moving all connections less than
# a second; hence 1.5 s to settle.
FULL = Plan(
    name="full",
    rounds=3,
    modes=MODES,
    scenarios=scenarios(
        (1, 8, 32, 128, 512, 1024, 2048),
        burst=1024,
        settle_s=1.5,
        steady_s=1.0,
        calm_s=2.0,
    ),
    gil_s=1.5,
    gil_rounds=2,
    gil_connections=1000,
    switch_intervals_s=(0.005, 0.001, 0.0005),
)
QUICK = Plan(
    name="quick",
    rounds=1,
    modes=MODES,
    scenarios=scenarios(
        (1, 64, 512), burst=512, settle_s=0.9, steady_s=0.4, calm_s=1.0
    ),
    gil_s=0.3,
    gil_rounds=1,
    gil_connections=500,
    switch_intervals_s=(0.005, 0.0005),
)

#: What differs from a server's own thresholds.  A step lasts seconds, so waiting for ten
#: after each switch, or five minutes after the third, would hide the later switches.
SHORTENED: dict[str, float] = {"cooldown_s": 1.0, "lock_switches": 1000}


def thresholds() -> Thresholds:
    base = Thresholds()
    return replace(
        base,
        cooldown_s=SHORTENED["cooldown_s"],
        lock_switches=int(SHORTENED["lock_switches"]),
    )
