"""Which of CPython's asyncio tests are not run, and why.

All test modules of the running Python are run except those listed here: modules and
classes that need no loop, that use only a mock loop, or that test nothing but
asyncio's internals.  A single test that inspects a private detail is no reason to
exclude its class: it belongs in ``expected.py``.
"""

from __future__ import annotations

import unittest
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "test.test_asyncio"

_OTHER_PLATFORM = "for Windows"
_AGAIN = "the same tests again over another selector; our loops take none"
_NO_LOOP = "asyncio's own pure Python, without a loop"
_DOUBLE = "its loop is a mock"
_TRANSPORT = "makes a private transport class of asyncio over mocks, and looks inside"

LEFT_OUT = {
    "test_proactor_events": _OTHER_PLATFORM,
    "test_windows_events": _OTHER_PLATFORM,
    "test_windows_utils": _OTHER_PLATFORM,
    "test_buffered_proto.BufferedProtocolProactorTests": _OTHER_PLATFORM,
    "test_server.ProactorStartServerTests": _OTHER_PLATFORM,
    "test_sslproto.ProactorStartTLSTests": _OTHER_PLATFORM,
    "test_events.PollEventLoopTests": _AGAIN,
    "test_events.SelectEventLoopTests": _AGAIN,
    "test_sendfile.PollEventLoopTests": _AGAIN,
    "test_sendfile.SelectEventLoopTests": _AGAIN,
    "test_sock_lowlevel.PollEventLoopTests": _AGAIN,
    "test_sock_lowlevel.SelectEventLoopTests": _AGAIN,
    "test_protocols": _NO_LOOP,
    "test_transports": _NO_LOOP,
    "test_base_events.BaseEventTests": _NO_LOOP,
    "test_base_events.TestSelectorUtils": _NO_LOOP,
    "test_futures.DuckTests": _NO_LOOP,
    "test_futures.CFutureInheritanceTests": _NO_LOOP,
    "test_futures.PyFutureInheritanceTests": _NO_LOOP,
    "test_tasks.GenericTaskTests": _NO_LOOP,
    "test_tasks.PyIntrospectionTests": _NO_LOOP,
    "test_tasks.CIntrospectionTests": _NO_LOOP,
    "test_events.TimerTests": _DOUBLE,
    "test_selector_events": "a subclass of asyncio's selector loop over a mock of a "
    "selector, and private transport classes made by hand",
    "test_base_events.BaseLoopSockSendfileTests": "of a base class that has no "
    "sendfile(2); test_unix_events has the same for loops that have it",
    "test_subprocess.SubprocessTransportTests": _TRANSPORT,
    "test_subprocess.MultiLoopChildWatcherTests": _NO_LOOP,
    "test_unix_events.UnixReadPipeTransportTests": _TRANSPORT,
    "test_unix_events.UnixWritePipeTransportTests": _TRANSPORT,
    "test_unix_events.AbstractChildWatcherTests": _NO_LOOP,
    "test_unix_events.BaseChildWatcherTests": _NO_LOOP,
    "test_unix_events.SafeChildWatcherTests": "asyncio's own watcher over a mock waitpid",
    "test_unix_events.FastChildWatcherTests": "asyncio's own watcher over a mock waitpid",
}


def name_of(test: unittest.TestCase) -> str:
    return f"{type(test).__qualname__}.{test._testMethodName}"


def why_left_out(module: str, name: str) -> str | None:
    of_class = name.rpartition(".")[0]
    return LEFT_OUT.get(module) or LEFT_OUT.get(f"{module}.{of_class}")


def modules() -> list[str]:
    """The test modules of this Python that are run; empty if it has none.

    Distributions often package them separately: Debian in libpython3-testsuite.
    """
    try:
        spec = find_spec(PACKAGE)
    except ImportError:
        return []
    if spec is None or spec.origin is None:
        return []
    found = sorted(path.stem for path in Path(spec.origin).parent.glob("test_*.py"))
    return [module for module in found if module not in LEFT_OUT]
