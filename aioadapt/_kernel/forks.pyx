"""How many forks lie between the first process that loaded this and the one we are in.

What was made at another count is the parent's.  A process number would not tell: in
a container's new namespace parent and child may have the same one.
"""

import os

cdef unsigned long long forks = 0


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)
