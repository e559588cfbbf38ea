"""It raises."""

raise ValueError("settings.toml has no [server]")
