"""`python -m neurochip` is the command `neurochip`."""

from __future__ import annotations

import sys

from neurochip.cli import main

if __name__ == "__main__":
    sys.exit(main())
