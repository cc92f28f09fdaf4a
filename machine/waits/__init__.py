"""Waits, results of mutations, and the contexts of states."""
