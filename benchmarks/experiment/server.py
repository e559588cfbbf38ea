"""The adaptive server under test, in a process of its own, which takes commands.

``python -m benchmarks.experiment.server --mode adaptive``.  Prints its port, then
answers commands in JSON lines, and exits when its input ends.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict
from typing import Any

import aioadapt
from aioadapt import AdaptiveServer, Switch, Thresholds

from .figures import pauses_in_figures

#: The arguments for AdaptiveServer in each mode.
MODES: dict[str, dict[str, Any]] = {
    "epoll": {"start": "epoll", "adapt": False},
    "uring": {"start": "uring", "adapt": False},
    "adaptive": {"start": "auto"},
    "routing": {"start": "auto", "migrate": False},
    # For switches that are forced, not decided.
    "told": {"start": "epoll", "adapt": False},
    "told-routing": {"start": "epoll", "adapt": False, "migrate": False},
}


async def serve(mode: str, thresholds: Thresholds) -> None:
    async with AdaptiveServer(
        "aioadapt.measure.app:app",
        port=0,
        thresholds=thresholds,
        log_level="warning",
        access_log=False,
        # Longer than any think time of the experiment.
        keep_alive_s=300.0,
        graceful_s=2.0,
        backlog=4096,
        **MODES[mode],
    ) as server:
        orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
        )
        say({"port": server.addresses[0][1], "tid": os.getpid()})
        while line := await orders.readline():
            try:
                say(await obey(server, **json.loads(line)))
            except Exception as error:
                say({"error": f"{type(error).__name__}: {error}"})
        pipe.close()


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def obey(server: AdaptiveServer, do: str, **details: Any) -> dict[str, Any]:
    controller = server.controller
    if do == "switch":
        return in_figures(await server.switch(details["to"]))
    if do == "drain":
        source, target = (controller.threads[details[end]] for end in ("source", "to"))
        report = await server.migrator.drain(
            source, to=target, limit=details["limit"], timeout_s=5.0
        )
        return {"moved": report.moved, "pauses_s": list(report.pauses_s)}
    if do == "tell":
        return {
            "active": controller.active,
            "connections": {
                engine: len(thread.connections)
                for engine, thread in controller.threads.items()
            },
            "switches": [in_figures(switch) for switch in controller.switches],
        }
    raise ValueError(f"unknown command {do!r}")


def in_figures(switch: Switch) -> dict[str, Any]:
    """Without the full record of the decision, and with the pauses as percentiles."""
    figures = asdict(switch)
    for name in ("decision", "pauses_s", "at_s"):
        del figures[name]
    figures["rule"] = switch.decision.rule.name if switch.decision else ""
    return {**figures, **pauses_in_figures(switch.pauses_s)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiment.server")
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--thresholds", default="{}", help="as JSON")
    parser.add_argument("--switch-interval-s", type=float)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The mode determines the initial engine; the environment must not.
    os.environ.pop("AIOADAPT_START", None)
    if options.switch_interval_s:
        sys.setswitchinterval(options.switch_interval_s)
    thresholds = Thresholds.from_json(options.thresholds)
    aioadapt.run(serve(options.mode, thresholds), engine="epoll")


if __name__ == "__main__":
    main()
