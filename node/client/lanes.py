"""The workers of a run of jobs, with the jobs that are on their way to each."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from typing import Any

from node.client.link import Order, WorkerLink
from node.policy.windows import Window

__all__ = ["Lane", "behind", "one_ahead", "spawn", "take_back", "with_room"]


@dataclass(slots=True, eq=False)
class Lane:
    """A worker of the run.

    Attributes:
        worker: its name.
        window: jobs that it may have.
        link: to the worker; None until it is open.
        leaving: True once it is to be released.
        alone: a job runs there that may have been the end of another worker.
    """

    worker: str
    window: Window
    link: WorkerLink | None = None
    leaving: bool = False
    alone: bool = False

    @property
    def ready(self) -> WorkerLink | None:
        """The link, if the worker may get jobs."""
        return None if self.leaving or self.alone else self.link

    @property
    def queued(self) -> int:
        """Number of jobs behind those that run."""
        return self.link.queued(self.window.concurrency) if self.link is not None else 0

    def submit(self, link: WorkerLink, order: Order) -> None:
        """Send a job. Raises `MessageTooLarge`."""
        link.submit(order)
        self.window.in_flight += 1

    def take_back(self, count: int) -> None:
        """Ask for jobs that have not begun."""
        if self.link is not None:
            self.link.take_back(count, self.window.concurrency)


def with_room(lanes: Collection[Lane], *, empty: bool) -> Lane | None:
    """The worker with the most room, first of those where a job begins at once.

    None if none has any, or none is empty if it must be.
    """
    best, most, idle = None, 0, False
    for lane in lanes:
        window = lane.window
        if lane.link is None or lane.leaving or lane.alone or (empty and window.in_flight):
            continue
        room, begins = window.size - window.in_flight, window.in_flight < window.concurrency
        if room > 0 and (begins, room) > (idle, most):
            best, most, idle = lane, room, begins
    return best


def one_ahead(lanes: Collection[Lane]) -> Lane | None:
    """A worker that takes one job ahead."""
    for lane in lanes:
        if lane.ready is not None and lane.window.takes_one_ahead:
            return lane
    return None


def behind(lanes: Collection[Lane]) -> Lane | None:
    """The worker with the most jobs behind those that run, if another one is idle."""
    if not any(one.ready is not None and one.window.idle for one in lanes):
        return None
    lane = max(lanes, key=lambda one: one.queued)
    return lane if lane.queued else None


def take_back(lanes: Collection[Lane]) -> None:
    """Ask the worker with the most jobs that have not begun for a share of idle workers."""
    lane = behind(lanes)
    if lane is not None:
        idle = sum(one.window.idle for one in lanes if one.ready is not None)
        lane.take_back(lane.queued - lane.queued // (1 + idle))


def spawn(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
    """Start a task, which is in a set until it is done."""
    task = asyncio.create_task(work, name=name)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
