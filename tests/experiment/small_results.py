"""Made-up results in the experiment's format: two rounds, four modes."""

from typing import Any

MODES = ("epoll", "uring", "adaptive", "routing")
NOTHING_WRONG = {"failed": 0, "lost": 0, "duplicated": 0, "misrouted": 0}


def part(requests: int, cpu_us: float = 20.0) -> dict[str, Any]:
    return {
        "requests": requests, "asked": requests, "seconds": 1.0, "opened": 0, "closed": 0,
        "closed_by_server": 0, "refused": 0, "p50_s": 0.001, "p99_s": 0.004,
        "p999_s": 0.008, "max_s": 0.01, "mean_s": 0.002, "per_slot": [requests // 10] * 10,
        **NOTHING_WRONG, "requests_per_s": float(requests), "cpu_us": cpu_us,
        "busy_share": 0.9, "control_share": 0.001, "waited_share": 0.001,
    }  # fmt: skip


def step(
    number: int, mode: str, scenario: str, index: int, name: str, connections: int
) -> dict[str, Any]:
    # The second round is a tenth slower, so that there is a spread.
    requests = (1000 if mode in ("epoll", "routing") else 1200) * (10 - number) // 10
    return {
        "round": number, "mode": mode, "scenario": scenario, "index": index, "step": name,
        "connections": connections, "settle": part(requests), "steady": part(requests),
        "active": "epoll" if mode == "epoll" else "uring", "on": {},
    }  # fmt: skip


def switch(number: int, mode: str, moved: int) -> dict[str, Any]:
    return {
        "round": number, "mode": mode, "scenario": "burst", "step": "burst",
        "source": "epoll", "to": "uring", "reason": "many", "rule": "BURST",
        "connections": 100, "moved": moved, "left": {} if moved else {"busy": 100},
        "first_moved_s": 0.01 if moved else None, "last_moved_s": 0.2 if moved else None,
        "failed": "", "pause_p50_s": 0.0003, "pause_p99_s": 0.003, "pause_max_s": 0.02,
    }  # fmt: skip


def small_results(python: str = "3.11") -> dict[str, Any]:
    steps, switches = [], []
    for number in range(2):
        for mode in MODES:
            for index, (name, connections) in enumerate(
                (("1", 1), ("64", 64), ("512", 512), ("64 (down)", 64), ("1 (down)", 1))
            ):
                steps.append(step(number, mode, "ramp", index, name, connections))
            steps.append(step(number, mode, "burst", 2, "burst", 100))
            steps.append(step(number, mode, "churn", 0, "20 requests each", 25))
            steps.append(step(number, mode, "mix", 0, "a tenth of 64 KiB", 50))
        switches.append(switch(number, "adaptive", 100))
        switches.append(switch(number, "routing", 0))
    throughput = [
        {"round": 0, "cores": cores, "active": active, "switch_interval_s": 0.005,
         **part(1000)}
        for cores in ("one core", "all cores") for active in ("epoll", "uring", "both")
    ]  # fmt: skip
    pauses = [
        {**switch(0, "told", 100), "load": load, "cores": "one core",
         "switch_interval_s": 0.005,
         "requests_per_s": 1000.0, "p99_s": 0.004, **NOTHING_WRONG}
        for load in ("half load", "saturated")
    ]  # fmt: skip
    return {
        "machine": {
            "cpus": 2, "cpu": "a processor", "kernel": "6.18", "machine": "x86_64",
            "python": f"{python}.1", "python_minor": python, "aioadapt": "0.1",
            "commit": "0123456789", "io_uring": True,
        },
        "plan": {"name": "small", "rounds": 2, "modes": list(MODES)},
        "thresholds": {
            "up_connections": 64, "down_connections": 32, "snap_connections": 128,
            "large_payload_bytes": 8192, "tick_s": 0.25,
        },
        "shortened": {"cooldown_s": 1.0},
        "steps": steps,
        "switches": switches,
        "gil": {"throughput": throughput, "pauses": pauses},
    }  # fmt: skip
