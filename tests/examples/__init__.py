"""The examples run unchanged."""
