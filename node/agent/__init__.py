"""Agents: one on each peer for each kind of workers; they start workers and watch over them."""
