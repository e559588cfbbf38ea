"""``./run report``: what adapting, and moving connections, gains on this machine."""
