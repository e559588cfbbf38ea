"""Peers side by side, and the C limit: ``python -m benchmarks --help``."""
