"""Makes thumbnails of pictures on a pool of workers, while one of them and a peer are killed.

    python -m examples.thumbnails
    python -m examples.thumbnails --folder pictures --pictures 500

Read `app` for what runs on the peers, `job` for what asks them; `pictures` makes the files, and
`__main__` starts it all. It needs Pillow: `pip install "actor-grid[examples]"`.
"""
