"""The load client with responses that are known byte for byte.

``python -m benchmarks.load --port 8000 --echo 64``.  Its commands and replies are those
of ``aioadapt.measure.load``.
"""

import argparse
import sys

from aioadapt._testing.echo import Echo, Fixed
from aioadapt.measure.load import arguments, serve_commands
from aioadapt.measure.workload import Workload


def workload_of(options: argparse.Namespace) -> Workload:
    if options.echo is not None:
        return Echo(options.echo)
    if options.udp_echo is not None:
        return Echo(options.udp_echo, datagrams=True)
    return Fixed(options.request.encode(), options.answer.encode())


def main() -> int:
    parser = arguments("benchmarks.load")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--echo", type=int, metavar="BYTES", help="TCP echo of BYTES")
    kind.add_argument("--udp-echo", type=int, metavar="BYTES", help="UDP echo of BYTES")
    kind.add_argument("--request", help="send this text; needs --answer")
    parser.add_argument("--answer", help="the expected response to --request")
    options = parser.parse_args()
    if (options.request is None) != (options.answer is None):
        parser.error("--request and --answer go together")
    return serve_commands(options, workload_of(options))


if __name__ == "__main__":
    sys.exit(main())
