"""Completion: a loop that waits on a ring, and its drivers."""
