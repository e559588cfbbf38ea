from typing import Any

class Crowd:
    most: int
    patience_ns: int
    def __init__(
        self,
        host: str,
        port: int,
        pattern: bytes,
        *,
        most: int,
        patience_s: float = 10.0,
        seed: int = 1,
    ) -> None: ...
    def run(
        self,
        *,
        connections: int,
        seconds: float,
        think_s: float = 0.0,
        requests_per_connection: int = 0,
        body_bytes: int = 128,
        large_bytes: int = 0,
        large_share: float = 0.0,
        spin: bool = True,
    ) -> dict[str, Any]: ...
    def close(self) -> None: ...
