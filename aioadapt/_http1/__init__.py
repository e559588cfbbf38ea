"""Follows the bytes of an HTTP/1 connection as they pass; no sockets, no asyncio."""
