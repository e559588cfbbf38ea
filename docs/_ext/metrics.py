"""The metrics of a server, as a table with their Prometheus names."""

from aioadapt import LoopStats, MigratorStats
from aioadapt.control.start import Start
from aioadapt.serving.metrics import exposition
from aioadapt.serving.state import EngineState, ServerState


def table() -> str:
    rows: list[str] = []
    meaning = ""
    for line in exposition(_some_state()).decode().splitlines():
        word, _, rest = line.partition(" ")
        if word != "#":
            continue
        word, name, text = rest.split(" ", 2)
        if word == "HELP":
            meaning = text
        elif not name.endswith("_created"):
            rows.append(f"| `{name}` | {text} | {meaning} |")
    return "\n".join(["| metric | kind | meaning |", "| --- | --- | --- |", *rows])


def _some_state() -> ServerState:
    counts = dict.fromkeys(LoopStats.__match_args__, 0)
    stats = LoopStats(**(counts | {"engine": "epoll", "latencies": ()}))  # type: ignore[arg-type]
    return ServerState(
        pid=1,
        app="",
        addresses=[],
        started_at=0.0,
        now=0.0,
        python="",
        adapting=True,
        migrating=True,
        start=Start("epoll", False, ""),
        active="epoll",
        engines=[EngineState("epoll", True, True, stats)],
        migrator=MigratorStats(),
    )
