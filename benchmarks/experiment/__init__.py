"""``./run report``: what adapting and moving connections gain on this machine."""
