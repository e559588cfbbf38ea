"""UDP and Unix datagrams: asyncio's datagram transports, over either engine."""
