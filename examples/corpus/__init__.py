"""Counts the tokens of many source files on a grid of peers.

    python -m examples.corpus
    python -m examples.corpus --kill-leader

Read `app` for what runs on the peers, `job` for what asks them, `failover` for
how long the grid is without a leader; `peers` and `__main__` start it all.
"""
