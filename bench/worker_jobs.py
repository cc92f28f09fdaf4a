"""The jobs of `bench.workers`; processes of workers import this module."""

from __future__ import annotations

import time

import node
from grid import Server

__all__ = ["Sender", "burn", "small"]

_peer = Server("unused")  # never started: the benchmark offers the functions at its own peer


@node.worker(_peer, "small-4")
@node.worker(_peer, "small")
def small(number: int) -> int:
    """Nearly nothing."""
    return number + 1


@node.worker(_peer, "burn")
def burn(seconds: float) -> float:
    """Use the processor for a while; CPU seconds, so that other processes do not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


@node.worker(_peer, "sender")
class Sender(node.WorkerMachine[node.WorkerStates]):
    """A worker that sends one payload for each job."""

    async def work(self, input: int) -> int:  # noqa: A002 - as the base has it
        """Send it."""
        self.send_payload("number", str(input).encode())
        return input
