from .workload import Workload

class Paths(Workload):
    def __init__(self, pattern: bytes, *, seed: int = 1) -> None: ...
    def for_run(
        self,
        *,
        body_bytes: int = 128,
        large_bytes: int = 0,
        large_share: float = 0.0,
    ) -> None: ...
