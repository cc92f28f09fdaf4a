"""`python -m grid` is the command `grid`."""

from grid.cli import main

main()
