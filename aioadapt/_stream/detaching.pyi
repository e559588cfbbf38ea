STATES: tuple[str, ...]
EVENTS: tuple[str, ...]

def state_after(state: str, event: str) -> str | None: ...
