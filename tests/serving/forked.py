"""Runs commands in forks of one process that has imported what they need.

A script for a subprocess.  A refusal takes milliseconds, but starting a Python
that can serve takes a third of a second, and there are dozens of refusals.  Each
line of standard input has the arguments of one command and a file for its
standard error; each line of the output is the exit status.
"""

import importlib
import json
import os
import sys

from aioadapt.cli.main import main

IMPORTED = (
    "aioadapt.cli.commands",
    "aioadapt.serving.aiohttp_server",
    "aioadapt.serving.run",
    "aioadapt.serving.uvicorn_server",
    "aioadapt.serving.workers",
    "httptools",
    "typer._adapters",
)


def serve_forks() -> None:
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only some versions of typer have it.
            if error.name != "typer._adapters":
                raise
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            said = os.open(asked["stderr"], os.O_WRONLY | os.O_CREAT)
            for target, source in enumerate((nothing, nothing, said)):
                os.dup2(source, target)
            sys.exit(main(asked["arguments"]))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve_forks()
