"""A test that exceeds its time limit fails alone: see time_limit.py."""

import re
import time
from collections import Counter
from pathlib import Path

from programs import run_python

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import time_limit
from time_limit import *
time_limit.UNWINDS_WITHIN_S = 1.0

def pytest_configure(config):
    config.add_cleanup(time_limit.keep_stderr())
"""

TESTS = """
import asyncio, ctypes, subprocess, threading, time
import pytest

def test_one_before(): pass

def test_that_sleeps(): time.sleep(1000)

def test_that_waits_for_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def test_with_a_callback_that_never_returns():
    async def main():
        def spin():
            while True: pass
        asyncio.get_running_loop().call_soon(spin)
        await asyncio.sleep(1000)
    asyncio.run(main())

def test_that_waits_for_a_process(): subprocess.run(["sleep", "1000"])

def test_that_is_stuck_in_c():
    keeps_the_gil = ctypes.PyDLL(None)
    while True:
        try:
            keeps_the_gil.sleep(1000)
        except BaseException:
            pass

@pytest.fixture
def never_there(): time.sleep(1000)

def test_whose_fixture_never_comes(never_there): pass

def test_one_after(): pass
"""

LONG = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_quickly(number): pass
"""


def test_whatever_a_test_hangs_in_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_hanging.py").write_text(TESTS)
    (tmp_path / "test_other.py").write_text("def test_elsewhere(): pass")
    # xdist hands out longer files first, so a worker that dies has finished one.
    for name in ("test_long.py", "test_too.py"):
        (tmp_path / name).write_text(LONG)
    for number in range(4):
        (tmp_path / f"test_short_{number}.py").write_text("def test_one(): pass")
    began_s = time.monotonic()

    ended = run_python(
        *("-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "no:asyncio"),
        *("-n", "2", "--dist", "loadfile", "--timeout", "0.5", "--rootdir", "."),
        cwd=tmp_path,
    )

    ends = Counter(re.findall(r"^(PASSED|FAILED|ERROR) ", ended.out, re.M))
    assert ends == {"PASSED": 47, "FAILED": 5, "ERROR": 1}, ended.out + ended.err
    assert "in test_that_is_stuck_in_c" in ended.err, "its stack is shown"
    assert time.monotonic() - began_s < 40
