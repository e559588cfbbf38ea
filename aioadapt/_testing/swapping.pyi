from collections import Counter

from aioadapt._engine.adaptive_core import AdaptiveCore

class SwappingCore(AdaptiveCore):
    swap_share: int
    @property
    def swapped(self) -> Counter[tuple[str, str]]: ...
