"""Waits, results and the contexts of states."""
