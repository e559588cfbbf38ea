"""``aioadapt top``: a live view of a running server."""
