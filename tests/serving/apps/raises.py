"""Importing it raises."""

raise ValueError("settings.toml has no [server]")
