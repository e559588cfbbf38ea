"""The limit of open descriptors of a process."""

import resource


def allow_descriptors(count: int) -> bool:
    """Raise this process's soft limit; False if the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and count > hard:
        return False
    if count > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True
