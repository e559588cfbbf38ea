"""The load client's process: orders come in as JSON lines, counts go out the same way.

``python -m aioadapt.measure.load --port 8000 --most 1024``; each order is
the keyword arguments of :meth:`aioadapt.measure.crowd.Crowd.run`.  It ends
when its input does.
"""

import argparse
import json
import signal
import sys

from .crowd import Crowd
from .wire import pattern


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aioadapt.measure.load")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--most", type=int, default=2048, help="connections at a time")
    parser.add_argument("--patience-s", type=float, default=10.0)
    options = parser.parse_args()
    # A terminal's Ctrl-C goes to the whole group, but who started us stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    crowd = Crowd(
        options.host,
        options.port,
        pattern(),
        most=options.most,
        patience_s=options.patience_s,
    )
    for line in sys.stdin:
        sys.stdout.write(json.dumps(crowd.run(**json.loads(line))) + "\n")
        sys.stdout.flush()
    crowd.close()


if __name__ == "__main__":
    main()
