"""Our asyncio policy: only on demand, and with no more warnings than asyncio's own."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from programs import printed_by_python

# Each in a separate process, because a policy is process-wide.  asyncio's own loop
# stands in for a loop that is not in this build.
PREAMBLE = """
import asyncio, sys, types, warnings
import aioadapt
"""
if importlib.util.find_spec("aioadapt.epoll_loop") is None:
    PREAMBLE += """
module = sys.modules["aioadapt.epoll_loop"] = types.ModuleType("aioadapt.epoll_loop")
module.EpollEventLoop = type("EpollEventLoop", (asyncio.SelectorEventLoop,), {})
"""


def run_python(code: str, *options: str) -> str:
    return printed_by_python(*options, "-c", PREAMBLE + code).strip()


def test_importing_aioadapt_warns_of_nothing_and_leaves_policies_alone() -> None:
    printed = run_python("print('aioadapt.policy' in sys.modules)", "-W", "error")

    assert printed == "False"


def test_importing_everything_warns_of_nothing() -> None:
    printed = run_python("from aioadapt import *\nprint(run.__module__)", "-W", "error")

    assert printed == "aioadapt.engine"


def test_install_makes_asyncio_give_our_loops() -> None:
    printed = run_python("""
warnings.simplefilter("ignore", DeprecationWarning)
aioadapt.install("epoll")
async def main():
    return type(asyncio.get_running_loop()).__name__
print(asyncio.run(main()))
loop = asyncio.new_event_loop()
print(type(loop).__name__)
loop.close()
""")

    assert printed.split() == ["EpollEventLoop", "EpollEventLoop"]


def test_install_warns_as_asyncios_own_policy_does_and_no_more() -> None:
    printed = run_python("""
def warnings_of(act):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return sorted((w.category.__name__, str(w.message)) for w in caught)

own = warnings_of(
    lambda: asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy()))
ours = warnings_of(lambda: aioadapt.install("epoll"))
assert ours == own, (ours, own)
print(len(own) > 0)
""")

    assert printed == str(sys.version_info >= (3, 14))


def test_an_unknown_engine_is_refused_at_once_and_sets_no_policy() -> None:
    printed = run_python("""
warnings.simplefilter("ignore", DeprecationWarning)
before = asyncio.get_event_loop_policy()
try:
    aioadapt.install("kqueue")
except aioadapt.UnknownEngineError:
    print(asyncio.get_event_loop_policy() is before)
""")

    assert printed == "True"


def test_a_policy_says_in_words_what_it_gives() -> None:
    printed = run_python("""
warnings.simplefilter("ignore", DeprecationWarning)
print(aioadapt.EventLoopPolicy("epoll"))
print(isinstance(aioadapt.EventLoopPolicy(), asyncio.DefaultEventLoopPolicy))
""")

    assert printed.splitlines() == [
        "<aioadapt.EventLoopPolicy: new loops use engine 'epoll'>",
        "True",
    ]


def test_a_name_that_aioadapt_does_not_have_is_an_attribute_error() -> None:
    import aioadapt

    with pytest.raises(AttributeError, match="has no attribute 'KqueueEventLoop'"):
        _ = aioadapt.KqueueEventLoop  # type: ignore[attr-defined]


def test_only_the_policy_needs_what_python_3_16_removes() -> None:
    """Otherwise all of aioadapt, not just its policy, would stop working there."""
    removed = re.compile(
        r"asyncio\.\w*(EventLoopPolicy|event_loop_policy|ChildWatcher)"
    )
    package = Path(__file__).parent.parent.parent / "aioadapt"

    users = {
        path.name
        for path in package.rglob("*.py*")
        if path.suffix in (".py", ".pyx") and removed.search(path.read_text())
    }

    # asyncio_default.py sets the policy, in install().
    assert users == {"asyncio_default.py", "policy.py"}
