"""asyncio transports: one class, and a driver for each engine."""
