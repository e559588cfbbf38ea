"""Values that may be passed by mistake, and calls that pass one of them each.

A ``Call`` names a method and a valid value for each of its parameters.  It
yields a row for each combination of parameter and odd value: that parameter is
odd and the others are valid.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.protocols import Recorder

from .bench import Bench, Row

Make = Callable[[Bench], Any]


async def coroutine_function() -> None: ...


def coroutine(bench: Bench) -> Any:
    made = coroutine_function()
    bench.stack.callback(made.close)
    return made


class Indexed:
    """Not an int, but Python's own calls accept it as one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"Indexed({self.number})"


class BadFileno:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def fileno(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def __repr__(self) -> str:
        return f"BadFileno({self.answer!r})"


def released_view() -> memoryview:
    view = memoryview(b"released")
    view.release()
    return view


NUMBERS: dict[str, Make] = {
    "True": lambda _: True,
    "-1": lambda _: -1,
    "1.5": lambda _: 1.5,
    "-0.5": lambda _: -0.5,
    "NaN": lambda _: float("nan"),
    "infinity": lambda _: float("inf"),
    "2**31": lambda _: 2**31,
    "2**63": lambda _: 2**63,
    "-2**63 - 1": lambda _: -(2**63) - 1,
    "10**400": lambda _: 10**400,
    "an index": lambda _: Indexed(7),
}

THINGS: dict[str, Make] = {
    "None": lambda _: None,
    "a str": lambda _: "text",
    "no str": lambda _: "",
    "a str with a null": lambda _: "te\0xt",
    "a str of a surrogate": lambda _: "\udcff",
    "bytes": lambda _: b"bytes",
    "an object": lambda _: object(),
    "a list": lambda _: [],
    "a dict": lambda _: {},
    "a tuple": lambda _: (),
    "a class": lambda _: Recorder,
    "a coroutine function": lambda _: coroutine_function,
    "a coroutine": coroutine,
    "a future": lambda bench: bench.loop.create_future(),
    "the loop": lambda bench: bench.loop,
}

BYTES_LIKE: dict[str, Make] = {
    "a bytearray": lambda _: bytearray(b"bytes"),
    "a memoryview": lambda _: memoryview(b"bytes"),
    "a view of every other byte": lambda _: memoryview(b"abcdef")[::2],
    "a view of ints": lambda _: memoryview(b"abcdefgh").cast("I"),
    "a view of a matrix": lambda _: memoryview(b"abcdef").cast("B", (2, 3)),
    "a released view": lambda _: released_view(),
    "no bytes": lambda _: b"",
}

DESCRIPTORS: dict[str, Make] = {
    "a closed socket": Bench.closed_sock,
    "a blocking socket": Bench.blocking_sock,
    "an unconnected socket": Bench.sock,
    "a listening socket": Bench.listening,
    "a closed number": Bench.closed_fd,
    "a regular file": Bench.file,
    "a closed file": Bench.closed_file,
    "a fileno of None": lambda _: BadFileno(None),
    "a fileno of a str": lambda _: BadFileno("text"),
    "a fileno of -1": lambda _: BadFileno(-1),
    "a fileno of True": lambda _: BadFileno(True),
    "a fileno that raises": lambda _: BadFileno(OSError(5, "its own")),
}

ODD: dict[str, Make] = {**NUMBERS, **THINGS, **BYTES_LIKE, **DESCRIPTORS}

FEW = frozenset(
    [
        *("True", "-1", "1.5", "NaN", "2**31", "2**63", "an index"),
        *("None", "a str", "bytes", "a list", "a coroutine function"),
        *("a view of every other byte", "a released view"),
        *("a closed socket", "a closed number", "a regular file"),
        *("a fileno of None", "a blocking socket"),
    ]
)
"""One of each sort; ``./run soak`` uses them all."""


FOR_DEBUG = frozenset(
    [
        *("None", "a str", "NaN", "an object", "a coroutine function", "a coroutine"),
        *("a closed socket", "a blocking socket"),
    ]
)
"""What debug mode checks, or might check."""


def few(odds: dict[str, Make]) -> dict[str, Make]:
    return {name: make for name, make in odds.items() if name in FEW}


@dataclass(frozen=True)
class Right:
    """A parameter, and a valid value for it."""

    name: str
    make: Make
    keyword: bool = False
    odd: dict[str, Make] = field(default_factory=lambda: ODD)


def right(
    name: str, make: Make, *odd: dict[str, Make], but: Sequence[str] = ()
) -> Right:
    return Right(name, make, False, chosen(odd, but))


def keyword(
    name: str, *odd: dict[str, Make], but: Sequence[str] = (), make: Make | None = None
) -> Right:
    """A keyword that is left out unless it is odd or *make* gives a valid value."""
    return Right(name, make or left_out, True, chosen(odd, but))


def left_out(_: Bench) -> Any:
    raise AssertionError("is not called")


def chosen(odd: Sequence[dict[str, Make]], but: Sequence[str]) -> dict[str, Make]:
    found: dict[str, Make] = {}
    for each in odd or (ODD,):
        found.update(each)
    missing = set(but) - set(found)
    assert not missing, missing
    return {name: make for name, make in found.items() if name not in but}


@dataclass(frozen=True)
class Call:
    """A method of the loop, or of the object that *of* makes, with its parameters."""

    method: str
    parameters: tuple[Right, ...] = ()
    of: Make = lambda bench: bench.loop
    after: Callable[[Bench, Any], Any] = lambda _, value: value
    """Processes the result of a successful call, so that nothing is leaked."""
    outside: bool = False

    def rows(self, odd: Container[str] = FEW, *, debug: bool = False) -> Iterator[Row]:
        """A row for each odd value whose name is in *odd*."""
        for place, parameter in enumerate(self.parameters):
            for name, make in parameter.odd.items():
                if name not in odd:
                    continue
                if name == "a blocking socket" and not debug and "sock_" in self.method:
                    continue  # It blocks the whole loop; debug mode refuses it.
                yield Row(
                    f"{self.method}({parameter.name}: {name})",
                    self.act(place, make),
                    outside=self.outside,
                    debug=debug,
                )

    def act(self, place: int, odd: Make) -> Callable[[Bench], Any]:
        def act(bench: Bench) -> Any:
            args, options = [], {}
            for number, parameter in enumerate(self.parameters):
                make = odd if number == place else parameter.make
                if make is left_out:
                    continue
                if parameter.keyword:
                    options[parameter.name] = make(bench)
                else:
                    args.append(make(bench))
            call = getattr(self.of(bench), self.method)
            return self.after(bench, call(*args, **options))

        return act
