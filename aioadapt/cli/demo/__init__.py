"""``python -m aioadapt demo``: live connections move between two loops, and every byte is checked."""
