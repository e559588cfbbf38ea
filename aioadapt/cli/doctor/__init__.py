"""``aioadapt doctor``: whether io_uring can be used here, and what to do if not."""
