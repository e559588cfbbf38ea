"""The live view: the snapshot, refreshed every second."""

import asyncio
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

from aioadapt.serving.admin_client import AdminClient
from aioadapt.serving.admin_socket import AdminError, is_listened_to

from .picture import COLUMNS, SHOWN, Picture, picture


class Top(App[str]):
    """Shows one server until it exits or q is pressed.

    The result of the app is a line to print at the end; "" if q was pressed.

    Args:
        client: the client of the server's admin socket.
        before: its state now, the start of the first interval.
        every_s: seconds between two refreshes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "Quit")]
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: auto; padding: 0 1; text-style: bold; }
    #engines { height: auto; margin: 1 0; }
    #below, #trouble { height: auto; padding: 0 1; }
    """

    def __init__(
        self, client: AdminClient, before: dict[str, Any], *, every_s: float
    ) -> None:
        super().__init__()
        self._client = client
        self._before = before
        self._every_s = every_s

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield DataTable(id="engines", show_cursor=False)
        yield Static(id="trouble", markup=False)
        with VerticalScroll():
            yield Static(id="below", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.title = "aioadapt top"
        self.query_one("#engines", DataTable).add_columns(*COLUMNS)
        self._show(picture(self._before, self._before))
        self.run_worker(self._follow(), exclusive=True)

    async def action_quit(self) -> None:
        self.exit("")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                after = await asyncio.to_thread(self._client.state, SHOWN)
            except AdminError as error:
                if not await asyncio.to_thread(is_listened_to, self._client.path):
                    self.exit(f"the server with pid {self._before['pid']} has exited")
                    return
                # It is still listening, so it is only too busy to answer.
                self.query_one("#trouble", Static).update(f"{error}; retrying")
                continue
            self.query_one("#trouble", Static).update("")
            self._show(picture(self._before, after))
            self._before = after

    def _show(self, shown: Picture) -> None:
        self.query_one("#head", Static).update("\n".join(shown.head))
        table = self.query_one("#engines", DataTable)
        table.clear()
        for row in shown.rows:
            table.add_row(*row.cells())
        self.query_one("#below", Static).update("\n".join(shown.below()))
