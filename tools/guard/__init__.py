"""``./run guard REV``: does the working tree cost more than a revision?

The machine is too noisy for two per cent of time, so what is compared is counted:
user instructions, by callgrind, and system calls, per operation.  Both come from the
same run of a server under valgrind; a client sends exactly so many requests, one after
the other, so that the same run gives the same figures.
"""
