"""Kinds of workers for the tests; their processes import this module."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import grid
import node
from machine import state

peer = grid.Server()  # never started: the tests offer these functions at peers of their own


@node.worker(peer, "square")
def square(number: int) -> int:
    """The square of a number."""
    return number * number


@node.worker(peer, "whoami")
def whoami(seconds: float | None) -> dict[str, Any]:
    """The process that ran the job, and the attempt."""
    time.sleep(seconds or 0)
    return {"pid": os.getpid(), "attempt": node.job().attempt, "worker": node.job().worker}


@node.worker(peer, "fragile")
def fragile(order: dict[str, Any]) -> Any:
    """Do what the order says, in the first attempts only if it has `until`."""
    print("an order:", order)
    if node.job().attempt < order.get("until", 1_000_000):
        match order.get("do"):
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise ValueError(order["text"])
            case "hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "sleep":
                time.sleep(order["seconds"])
            case "object":
                return object()
    return [order.get("value"), node.job().attempt]


@node.worker(peer, "steps", concurrency=4)
async def steps(count: int) -> int:
    """Reports each step."""
    for number in range(count):
        node.job().progress((number + 1) / count, f"step {number + 1}")
        await asyncio.sleep(0.001)
    return count


@node.worker(peer, "squarer")
class Squarer(node.WorkerMachine[node.WorkerStates]):
    """A machine that sends its result as a payload, too."""

    async def work(self, input: int) -> int:
        """The square of a number; none of 13."""
        if input == 13:
            raise ValueError("not that one")
        self.send_payload("square", str(input * input).encode())
        return input * input


class StepStates(node.WorkerStates):
    """The states of a machine with a state of its own."""

    Checking = state(require=node.WorkerStates.Working)


@node.worker(peer, "stepper")
class Stepper(node.WorkerMachine[StepStates]):
    """A machine that moves on by itself, and takes even numbers only."""

    def WorkRequestedEnter(self, input: int = 0) -> bool:
        return input % 2 == 0

    async def WorkingState(self, input: Any = None) -> None:
        self.add("Checking", args={"input": input})

    def CheckingState(self, input: int) -> None:
        self.finish(input // 2)


@node.worker(peer, "broken")
def broken(_: Any) -> None:
    """Nothing; the test makes it fail at its start."""


if os.environ.get("TEST_BREAK_WORKERS") and __name__ != "__main__":
    raise RuntimeError("this code is broken on purpose")
