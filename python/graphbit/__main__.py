"""`python -m graphbit`: the command line, for those who have the package but not its script."""

import sys

from graphbit.cli import main

if __name__ == "__main__":
    sys.exit(main())
