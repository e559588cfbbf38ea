"""What two loops on one interpreter cost, in throughput and in pauses of moves.

With the GIL, both loops share one core's worth of Python, and a thread that needs
the GIL from a busy one waits up to the interpreter's switch interval (5 ms by
default).  A move needs both threads, one after the other.
"""

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from aioadapt import Thresholds
from aioadapt.measure.processes import LoadClient
from aioadapt.measure.usage import Cores

from .figures import pauses_in_figures
from .plan import Plan
from .run import FAULTS, ServerUnderTest, measure

ENGINES = ("epoll", "uring")
#: Connections moved at a time while both loops keep serving.
BATCH = 50


def gil_section(
    plan: Plan, rules: Thresholds, cores: Cores, progress: Any
) -> dict[str, list[dict[str, Any]]]:
    # The controller must not react to the few connections between two runs.
    rules = replace(rules, up_connections=None)
    throughput: list[dict[str, Any]] = []
    pauses: list[dict[str, Any]] = []
    for number in range(plan.gil_rounds):
        for cores_name, layout in (("one core", cores), ("all cores", _shared(cores))):
            where = {"round": number, "cores": cores_name}
            for active, interval_s in _activities(plan):
                progress.say(f"two loops: {active} active, {cores_name}")
                record = _throughput(plan, rules, layout, active, interval_s)
                throughput.append(
                    {
                        **where,
                        "active": active,
                        "switch_interval_s": interval_s,
                        **record,
                    }
                )
                progress.step()
            for interval_s in plan.switch_intervals_s:
                progress.say(
                    f"pauses: switch interval {interval_s * 1e3:g} ms, {cores_name}"
                )
                pauses += [
                    {**where, "switch_interval_s": interval_s, **record}
                    for record in _pauses(plan, rules, layout, interval_s)
                ]
                progress.step()
    return {"throughput": throughput, "pauses": pauses}


def _activities(plan: Plan) -> list[tuple[str, float]]:
    """Which loops are active, and the switch interval; a single loop never waits for it."""
    usual, *_ = plan.switch_intervals_s
    both = [("both", interval_s) for interval_s in plan.switch_intervals_s]
    return [("epoll", usual), ("uring", usual), *both]


def gil_steps(plan: Plan) -> int:
    """How many times the section calls ``progress.step()``."""
    if not plan.gil_s:
        return 0
    each = len(_activities(plan)) + len(plan.switch_intervals_s)
    return plan.gil_rounds * 2 * each


def _shared(cores: Cores) -> Cores:
    """Both processes on every core: what two loops could gain from a second core."""
    every = cores.server | cores.client
    return Cores(every, every)


def _throughput(
    plan: Plan, rules: Thresholds, cores: Cores, active: str, interval_s: float
) -> dict[str, Any]:
    connections = plan.gil_connections
    # A spinning client needs a core of its own, or it takes one from the server.
    spin = not cores.client & cores.server
    with ExitStack() as stack:
        server, client = _processes(
            stack, "told-routing", rules, cores, interval_s, connections
        )
        _spread(server, client, connections, active)
        load = {"connections": connections, "spin": spin}
        measure(server, client, plan.gil_s / 3, **load)
        record = measure(server, client, plan.gil_s, **load)
        return {**record, "on": server.ask({"do": "tell"})["connections"]}


def _processes(
    stack: ExitStack,
    mode: str,
    rules: Thresholds,
    cores: Cores,
    interval_s: float,
    most: int,
) -> tuple[ServerUnderTest, LoadClient]:
    server = stack.enter_context(
        ServerUnderTest(mode, rules, cores.server, switch_interval_s=interval_s)
    )
    client = LoadClient(server.port(), cores.client, most=most)
    return server, stack.enter_context(client)


def _spread(
    server: ServerUnderTest, client: LoadClient, connections: int, active: str
) -> None:
    """Open connections on the right loops; this server does not move them."""
    if active == "both":
        client.run(connections=connections // 2, seconds=0.05)
    if active != "epoll":
        server.ask({"do": "switch", "to": "uring"})
    client.run(connections=connections, seconds=0.05)


def _pauses(
    plan: Plan, rules: Thresholds, cores: Cores, interval_s: float
) -> list[dict[str, Any]]:
    order = {
        "connections": plan.gil_connections,
        "seconds": 2.5 * plan.gil_s,
        "spin": not cores.client & cores.server,
    }
    most = plan.gil_connections
    records = []
    with ExitStack() as stack:
        server, client = _processes(stack, "told", rules, cores, interval_s, most)
        probe = measure(server, client, **{**order, "seconds": plan.gil_s / 2})
        # With this, the request rate is half of what the server can do.
        think_s = 2 * most / probe["requests_per_s"]
        for load, pause_s in (("half load", think_s), ("saturated", 0.0)):
            client.begin(**order, think_s=pause_s)
            moves = _switch_back_and_forth(server, _end_of_moves(order["seconds"]))
            said = client.result()
            records += [{"load": load, **move, **_verdict(said)} for move in moves]
    with ExitStack() as stack:
        server, client = _processes(
            stack, "told-routing", rules, cores, interval_s, most
        )
        _spread(server, client, most, "both")
        client.begin(**order)
        move = _move_in_batches(server, _end_of_moves(order["seconds"]))
        records.append(
            {"load": "both loops saturated", **move, **_verdict(client.result())}
        )
    return records


def _end_of_moves(seconds: float) -> float:
    """The last move has to end while there still is load."""
    return time.monotonic() + 0.8 * seconds


def _verdict(said: dict[str, Any]) -> dict[str, Any]:
    return {
        "requests_per_s": said["requests"] / said["seconds"],
        "p99_s": said["p99_s"],
        **{fault: said[fault] for fault in FAULTS},
    }


def _switch_back_and_forth(
    server: ServerUnderTest, until: float
) -> list[dict[str, Any]]:
    moves = []
    to = "epoll" if server.ask({"do": "tell"})["active"] == "uring" else "uring"
    while time.monotonic() < until:
        time.sleep(0.2)  # of steady load, between two switches
        moves.append(server.ask({"do": "switch", "to": to}))
        to = "epoll" if to == "uring" else "uring"
    return moves


def _move_in_batches(server: ServerUnderTest, until: float) -> dict[str, Any]:
    """One record for all batches: percentiles of a few connections say little."""
    pauses_s: list[float] = []
    moved = times = 0
    ends = list(ENGINES)
    while time.monotonic() < until:
        time.sleep(0.05)
        order = {"do": "drain", "source": ends[0], "to": ends[1], "limit": BATCH}
        answer = server.ask(order)
        pauses_s += answer["pauses_s"]
        moved += answer["moved"]
        times += 1
        ends.reverse()
    return {"moved": moved, "times": times, **pauses_in_figures(pauses_s)}
