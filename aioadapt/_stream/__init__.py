"""asyncio transports: one class, two ways of moving bytes."""
