"""Readiness: a loop that waits in epoll, and its drivers."""
