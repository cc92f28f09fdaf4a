"""Crawls sites on a grid of peers, each page once.

    python -m examples.crawler
    python -m examples.crawler --kill

Read `app` for what runs on the peers: a frontier, which the leader is, crawlers and hosts. `site`
has the sites and reads pages; `__main__` starts it all, follows the frontier, and checks it.
"""
