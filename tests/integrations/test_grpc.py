"""grpc.aio, unchanged, in its own process: four kinds of call, a deadline, a cancel."""

from pathlib import Path

import pytest
from loops import in_words
from programs import run_python

HERE = Path(__file__).parent


def run(*arguments: str, engine: str = "auto") -> str:
    # Otherwise gRPC logs every closed connection to stderr.
    environ = {"AIOADAPT_ENGINE": engine, "GRPC_VERBOSITY": "ERROR"}
    ended = run_python("-W", "error", *arguments, cwd=HERE, environ=environ)
    assert (ended.status, ended.err) == (0, "")
    return ended.out


@pytest.mark.ours_only
@pytest.mark.consumer("grpc.aio")
def test_the_line_of_the_page_runs_it(line: str, loop_kind: str) -> None:
    program = f"""
import aioadapt
from grpc_program import main, running
{line}
print(running[-1].stats().engine)
"""

    assert run("-c", program, engine=loop_kind) == f"{loop_kind}\n"


def test_every_kind_of_call_is_answered(loop_kind: str) -> None:
    name, events = run("grpc_program.py", in_words(loop_kind)).split()

    assert in_words(loop_kind).endswith(name.removeprefix("_Unix"))
    if loop_kind != "asyncio":
        # Thousands of messages, but one wakeup handles many of them.
        assert int(events) > 100
