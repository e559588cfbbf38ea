"""What runs next on this thread: callbacks, timers, calls from other threads."""
