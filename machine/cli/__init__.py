"""The command `python -m machine`."""
