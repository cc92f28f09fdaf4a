"""`python -m grid.cli` is `grid`."""

from grid.cli import main

main()
