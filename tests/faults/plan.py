"""A plan: which occurrence of which call fails, and how."""

import errno
import random
from dataclasses import dataclass

FEWER = -1
"""Fewer bytes, connections, reports or entries than were asked for."""

LATE = -2
"""What has arrived is seen only at the next look."""

CALLS = (
    "recv", "send", "recvmmsg", "sendto", "accept", "epoll add", "epoll mod",
    "epoll wait", "epoll create", "eventfd", "write", "mmap", "ring setup",
    "ring buffers", "ring enter", "ring recv", "ring poll", "ring cancel", "ring reap",
)  # fmt: skip
"""In the order of ``aioadapt/_testing/faults.c``."""

_PASSING = (errno.EINTR, errno.EAGAIN)
_OUT_OF = (errno.ENOMEM, errno.ENOBUFS)
_RESET = (errno.ECONNRESET, errno.ETIMEDOUT)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

CAN: dict[str, tuple[int, ...]] = {
    "recv": (*_PASSING, *_OUT_OF, *_RESET, FEWER, FEWER, FEWER),
    "send": (*_PASSING, *_PASSING, *_OUT_OF, *_RESET, errno.EPIPE, FEWER, FEWER, FEWER),
    "recvmmsg": (*_PASSING, *_OUT_OF, errno.ECONNREFUSED, FEWER),
    "sendto": (*_PASSING, *_OUT_OF, errno.ECONNREFUSED, errno.EPERM),
    "accept": (
        *_PASSING, *_OUT_OF, errno.ECONNABORTED, errno.ECONNABORTED, errno.EPROTO,
        errno.EPERM, errno.EMFILE, errno.ENFILE,
    ),
    "epoll add": (errno.ENOMEM, errno.ENOSPC, errno.EPERM),
    "epoll mod": (errno.ENOMEM,),
    "epoll wait": (errno.EINTR, FEWER, LATE),
    "epoll create": _NO_DESCRIPTORS,
    "eventfd": _NO_DESCRIPTORS,
    "write": (errno.EINTR,),
    "mmap": (errno.ENOMEM,),
    "ring setup": (errno.ENOMEM, errno.EMFILE, errno.EPERM, FEWER),
    "ring buffers": (errno.ENOMEM, errno.EINVAL),
    "ring enter": (errno.EINTR, errno.EAGAIN, errno.EBUSY, FEWER, FEWER),
    "ring recv": (
        *_PASSING, errno.ENOBUFS, errno.ENOBUFS, errno.ENOMEM, errno.ECONNRESET,
        errno.ECANCELED,
    ),
    "ring poll": (errno.ENOMEM, errno.ECANCELED, errno.EAGAIN),
    "ring cancel": (errno.ENOENT, errno.EALREADY),
    "ring reap": (LATE,),
}  # fmt: skip
"""What the kernel may answer; mentioned twice is chosen twice as often."""

_FIRST = {
    "recv": 3, "send": 1.5, "accept": 1, "epoll add": 2, "epoll mod": 0.6,
    "epoll create": 0.1, "ring recv": 4, "ring poll": 4, "ring cancel": 4,
}  # fmt: skip
"""Which occurrence it is, on average: about as many as a program has; else 10."""

_ON_BOTH = {"recv": 3, "send": 5, "accept": 2, "epoll add": 1, "epoll mod": 2,
            "epoll wait": 2, "epoll create": 0.3, "write": 0.2, "recvmmsg": 0.5,
            "sendto": 0.5}  # fmt: skip
_ON_URING = {"ring enter": 3, "ring recv": 5, "ring poll": 3, "ring cancel": 3,
             "ring reap": 5}  # fmt: skip

MOST_STRIKES = 6
SMALL_RINGS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Strike:
    """From the occurrence *first* on every *every*-th one, *times* times."""

    call: str
    first: int
    what: int
    amount: int = 0
    times: int = 1
    every: int = 1

    def __str__(self) -> str:
        much = f" ({self.amount})" if self.amount else ""
        more = f", {self.times} times, each {self.every}" if self.times > 1 else ""
        return f"{self.call} {self.first}: {name_of(self.what)}{much}{more}"


Plan = tuple[Strike, ...]


def name_of(what: int) -> str:
    if what > 0:
        return errno.errorcode[what]
    return {FEWER: "fewer", LATE: "late"}[what]


def plan_of(seed: int, kind: str) -> Plan:
    dice = random.Random(f"plan {seed} {kind}")
    weights: dict[str, float] = dict(_ON_BOTH)
    plan: list[Strike] = []
    if kind != "epoll":
        weights |= _ON_URING
        if dice.random() < 0.4:
            plan.append(Strike("ring setup", 0, FEWER, dice.choice(SMALL_RINGS)))
        elif dice.random() < 0.2:
            plan.append(Strike("ring setup", 0, errno.ENOMEM, times=dice.randint(1, 5)))
    calls = dice.choices(
        list(weights), list(weights.values()), k=dice.randint(1, MOST_STRIKES)
    )
    return (*plan, *(a_strike(dice, call) for call in calls))


def a_strike(dice: random.Random, call: str, late: float = 1.0) -> Strike:
    """*late*: how many times as many calls there are as in one of the fuzzer's programs."""
    what = dice.choice(CAN[call])
    amount = 0
    if what == FEWER:
        amount = dice.choice((1, 2, 10, 1000))
    elif what == LATE:
        amount = dice.choice((1, 1, 2, 5, 1000))
    return Strike(
        call,
        int(dice.expovariate(1 / (late * _FIRST.get(call, 10)))),
        what,
        amount,
        # A cancel that has missed is repeated eight times at most.
        dice.choices((1, 2, 3), (6, 1, 1))[0],
        dice.choice((1, 1, 2, 5)),
    )
