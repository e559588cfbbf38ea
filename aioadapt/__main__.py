"""``python -m aioadapt``: the same as the command ``aioadapt``."""

import sys

from aioadapt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
