"""Counts the forks between the first process that loaded this module and this process.

Anything that was created at a different count belongs to the parent.  A process ID
would not tell: in a new PID namespace (a container), parent and child may have the
same one.
"""

import os

cdef unsigned long long forks = 0


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)
