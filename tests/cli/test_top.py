"""top shows what a server did in the last second; the server here is a real Admin."""

import asyncio
import sys
from collections.abc import Callable

import pytest
from seen import (
    RunningAdmin,
    Seen,
    answering,
    decision,
    exchange,
    run,
    switch,
)
from textual.widgets import DataTable, Static

from aioadapt import LoopThread
from aioadapt.cli import main as door
from aioadapt.cli.top import command
from aioadapt.cli.top.app import Top
from aioadapt.cli.top.picture import COLUMNS, picture

pytestmark = pytest.mark.usefixtures("runtime_folder")


def test_rates_and_latencies_are_those_between_the_two_looks(
    seen: Seen, admin: RunningAdmin
) -> None:
    with answering(*seen.threads) as port:
        run(exchange(port, requests=100))
        before = admin.client.state()
        run(exchange(port, requests=8))
        seen.pass_time(2.0)
        after = admin.client.state()

    (row,) = picture(before, after).rows

    assert row.engine == "epoll"
    assert row.active
    assert row.requests_per_s == 4
    assert 0 < row.p50_s <= row.p99_s < 20
    assert 0 < row.busy_share <= 1


def test_a_second_without_requests_has_no_latency(
    seen: Seen, admin: RunningAdmin
) -> None:
    with answering(*seen.threads) as port:
        run(exchange(port, requests=3))
    state = admin.client.state()

    (row,) = picture(state, state).rows

    cells = dict(zip(COLUMNS, row.cells(), strict=True))
    assert cells["requests/s"] == "0"
    assert cells["p50"] == cells["p99"] == "-"


def test_an_engine_that_was_made_meanwhile_counts_from_nought(
    seen: Seen, admin: RunningAdmin
) -> None:
    before = admin.client.state()
    with LoopThread("epoll") as standby, answering(standby) as port:
        run(exchange(port, requests=6))
        seen.threads = (standby,)
        seen.pass_time(1.0)
        after = admin.client.state()
    seen.threads = ()

    # A new engine name or a lower iteration count: both mean a different loop.
    for changed in ({"engine": "uring"}, {"stats": {**BUSIER, "iterations": 10**9}}):
        then = {**before, "engines": [{**before["engines"][0], **changed}]}
        (row,) = picture(then, after).rows
        assert row.requests_per_s == 6


BUSIER = {"requests": 10**6, "latencies": [10**6] * 101, "busy_s": 1e6}


def test_once_is_one_plain_picture(
    seen: Seen,
    admin: RunningAdmin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It needs neither textual nor a server's packages."""
    for name in ("textual", "uvicorn", "rich"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(command, "EVERY_S", 0.05)
    seen.set["switches"] = [switch(at_s=99.5)]

    assert door.main(["top", "--once"]) == 0

    printed = capsys.readouterr().out
    assert "shop:app" in printed
    assert "up 0:01:00" in printed
    assert "\x1b" not in printed
    lines = printed.splitlines()
    (header,) = [n for n, line in enumerate(lines) if line.startswith("engine ")]
    assert lines[header].split() == " ".join(COLUMNS).split()
    assert lines[header + 1].startswith("epoll *")
    assert "stay on epoll: 3 connections, below the threshold of 64" in printed
    assert "epoll to uring: 2 of 3 connections moved" in printed


def test_without_textual_the_live_view_names_the_extra(
    admin: RunningAdmin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, "aioadapt.cli.top.app", raising=False)
    monkeypatch.setitem(sys.modules, "textual.app", None)

    assert door.main(["top"]) == 2

    assert capsys.readouterr().err == (
        'aioadapt: not installed: textual; run pip install "aioadapt[cli]", '
        "or use --once\n"
    )


async def shown(holds: Callable[[], bool]) -> None:
    """Wait until the view shows it; the caller's time limit ends a failing wait."""
    while not holds():
        await asyncio.sleep(0.01)


def test_the_live_view_follows_the_server_until_q(
    seen: Seen, admin: RunningAdmin
) -> None:
    async def main() -> None:
        app = Top(admin.client, admin.client.state(), every_s=0.02)
        async with app.run_test(size=(120, 40)) as pilot:
            table = app.query_one("#engines", DataTable)
            below = app.query_one("#below", Static)
            assert [str(c.label) for c in table.columns.values()] == list(COLUMNS)
            assert table.get_row_at(0)[0] == "epoll *"
            assert "threshold of 64" in str(below.render())

            seen.set["decisions"] = [decision(reason="[64] connections")]
            seen.set["active"] = "uring"
            await shown(lambda: "[64] connections" in str(below.render()))

            await pilot.press("q")
        assert app.return_value == ""

    run(main())


def test_the_live_view_ends_with_a_line_when_the_server_ends(
    admin: RunningAdmin,
) -> None:
    async def main() -> None:
        before = admin.client.state()
        app = Top(admin.client, before, every_s=0.02)
        async with app.run_test():
            await asyncio.to_thread(admin.stop)
            await shown(lambda: app.return_value is not None)
        assert app.return_value == f"the server with pid {before['pid']} has exited"

    run(main())


def test_a_server_too_busy_to_answer_is_asked_again(
    seen: Seen, admin: RunningAdmin
) -> None:
    """The server exists, so the view stays open."""

    async def main() -> None:
        app = Top(admin.client, admin.client.state(), every_s=0.02)
        async with app.run_test() as pilot:
            trouble = app.query_one("#trouble", Static)
            broken = seen.set.pop("decisions")
            seen.set["no_such_field"] = broken
            await shown(lambda: "retrying" in str(trouble.render()))

            del seen.set["no_such_field"]
            await shown(lambda: "retrying" not in str(trouble.render()))
            await pilot.press("q")

    run(main())
