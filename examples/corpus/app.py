"""The workers: a function that peers offer, each worker in a process of its own."""

from __future__ import annotations

import grid
import node
from examples.corpus.count import count
from examples.corpus_pb2 import CountFile, Counts

__all__ = ["KIND", "LARGEST", "WORKERS", "count_file", "server"]

KIND = "count"
WORKERS = 3  # over all peers
LARGEST = 4 * 1024 * 1024  # bytes of a file, and of its tokens

server = grid.Server("corpus", lease=2.0, max_message_bytes=LARGEST)


@node.worker(server, KIND, min=WORKERS, max=WORKERS, warm=0)
def count_file(file: CountFile) -> Counts:
    """Count one file, in the worker's name."""
    return count(file.text, worker=node.job().worker)
