"""Watches the bytes of an HTTP/1 connection pass; no sockets, no asyncio."""
