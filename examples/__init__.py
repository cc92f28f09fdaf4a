"""Grids and machines to run and to read: `hello`, `corpus`, a whole job, and `fileproc`."""
