"""The same tests over asyncio's loop, the reference, and over ours."""
