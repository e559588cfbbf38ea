"""``aioadapt doctor``: can io_uring be used here, and if not, what to do."""
