"""Counts the tokens of many source files on a pool of workers.

    python -m examples.corpus
    python -m examples.corpus --kill-leader

Read `app` for what runs on the peers, `job` for what asks them; `__main__` starts it all.
"""
