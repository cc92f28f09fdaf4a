"""`python -m machine`: look at schemas, draw them, and try machines out."""

from __future__ import annotations

import sys

from machine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
