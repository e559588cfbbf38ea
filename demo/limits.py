"""How many descriptors a process may have open."""

import resource


def allow_descriptors(count: int) -> bool:
    """Raise this process's soft limit; False when the hard one forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and count > hard:
        return False
    if count > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True
