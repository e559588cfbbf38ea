"""``aioadapt top``: a running server, as it is now."""
