"""The workers: a function that peers offer, each worker in a process of its own."""

from __future__ import annotations

import os
from typing import Any

import grid
import node
from examples.thumbnails.pictures import small

__all__ = ["KIND", "WORKERS", "server", "thumbnail"]

KIND = "thumbnail"
WORKERS = 4  # over all peers

server = grid.Server("thumbnails", lease=2.0)


@node.worker(server, KIND, min=WORKERS, max=WORKERS, warm=0)
def thumbnail(picture: bytes) -> dict[str, Any]:
    """Make a thumbnail; the result says who made it, too."""
    job = node.job()
    made = {"worker": job.worker, "pid": os.getpid(), "attempt": job.attempt}
    return {"thumbnail": small(picture), **made}
