"""Descriptors and system calls; knows nothing of asyncio."""
