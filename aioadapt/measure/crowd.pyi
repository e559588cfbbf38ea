from typing import Any

from .sockets import Sockets
from .workload import Workload

class Crowd(Sockets):
    patience_ns: int
    def __init__(
        self,
        host: str,
        port: int,
        workload: Workload,
        *,
        most: int,
        patience_s: float = 10.0,
        scan: bool = False,
        seed: int = 1,
    ) -> None: ...
    def run(
        self,
        *,
        connections: int,
        seconds: float | None = None,
        operations: int = 0,
        think_s: float = 0.0,
        requests_per_connection: int = 0,
        spin: bool = True,
        **asked: float,
    ) -> dict[str, Any]: ...
    def check(
        self, connections: int, seconds: float | None, operations: int, spin: bool
    ) -> None: ...
    def in_words(self) -> str: ...
