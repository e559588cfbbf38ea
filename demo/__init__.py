"""``./run demo``: live connections move, and every byte is checked."""
