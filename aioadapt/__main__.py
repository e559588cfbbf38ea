"""``python -m aioadapt``."""

import sys

from aioadapt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
