"""What only loops make, or only loops call, and a program tries by hand."""

from importlib import import_module
from typing import Any

import pytest
from loops import LoopFactory

pytestmark = pytest.mark.ours_only


@pytest.mark.parametrize(
    "name", ["_stream.stream.Stream", "_datagram.endpoint.DatagramEndpoint"]
)
@pytest.mark.parametrize("args", [(), (None, None), ("loop", "driver")])
def test_only_loops_make_streams_and_endpoints(
    name: str, args: tuple[Any, ...]
) -> None:
    """One without a loop or a driver would crash the interpreter when it is used."""
    module, _, kind = name.rpartition(".")
    made_by_loops = getattr(import_module(f"aioadapt.{module}"), kind)

    with pytest.raises(TypeError):
        made_by_loops(*args)
    with pytest.raises(TypeError):
        made_by_loops.__new__(made_by_loops, *args)


def test_a_loop_yields_to_loops_only(loop_factory: LoopFactory) -> None:
    loop: Any = loop_factory()

    with pytest.raises(TypeError):
        loop.yield_to(None)

    loop.close()
