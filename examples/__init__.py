"""Grids to run and to read: `hello`, the quickstart, and `corpus`, a whole job."""
