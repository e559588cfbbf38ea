from collections.abc import Sequence
from typing import Final

from aioadapt._kernel.findings import Findings

RING_ENTRIES: Final[int]
SETUP_FLAGS: Final[tuple[tuple[str, int], ...]]

def probe(flags: Sequence[tuple[str, int]] = ...) -> Findings: ...
def findings() -> Findings: ...
