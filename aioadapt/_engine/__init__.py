"""Engines: how a loop waits for the kernel, and what moves the bytes of one descriptor."""
