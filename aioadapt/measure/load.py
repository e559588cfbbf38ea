"""The load client's process: takes commands and reports counts as JSON lines.

``python -m aioadapt.measure.load --port 8000 --most 1024``.  Each command holds the
keyword arguments of :meth:`aioadapt.measure.crowd.Crowd.run`, and each reply what
that returns.  If a run ends with an error, the reply is ``{"error": ...}`` and the
process exits with status 1.  Otherwise it exits when its input ends.

It sends HTTP requests with numbered paths.
"""

import argparse
import json
import signal
import sys

from .crowd import Crowd
from .paths import Paths
from .usage import ExperimentError
from .wire import pattern
from .workload import Workload


def arguments(module: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--most", type=int, default=2048, help="maximum number of connections"
    )
    parser.add_argument("--patience-s", type=float, default=10.0)
    return parser


def serve_commands(options: argparse.Namespace, workload: Workload) -> int:
    """Returns the exit status."""
    # A terminal sends Ctrl-C to the whole process group, but our parent stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    crowd = Crowd(
        options.host,
        options.port,
        workload,
        most=options.most,
        patience_s=options.patience_s,
        # A client's epoll costs the server 0.2 us per response (measured): 2 % of an
        # echo in C, less than 1 % of an HTTP request.
        scan=workload.strict,
    )
    try:
        for line in sys.stdin:
            say(crowd.run(**json.loads(line)))
    except ExperimentError as error:
        say({"error": str(error)})
        return 1
    finally:
        crowd.close()
    return 0


def say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    options = arguments("aioadapt.measure.load").parse_args()
    return serve_commands(options, Paths(pattern()))


if __name__ == "__main__":
    sys.exit(main())
