"""Servers and test tools that other people wrote, unchanged, on each loop."""
