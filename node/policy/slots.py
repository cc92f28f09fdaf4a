"""Policy of an agent: how many workers to start, and which to end or to kill.

Plain object: the agent reports events with the time and carries the instructions out.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from node.policy.instructions import End, Kill, Prepare, SlotInstruction, Spawn, Trouble
from node.settings import PoolSettings

__all__ = ["Slots"]

_STEADY = 1.0  # seconds that a worker must have lived for its end not to count as a failed start
_LAST_WORDS = 0.25  # seconds for a worker whose job overruns to tell of it: `ErrWorkTimeout`
_OWN_PAUSE = 3.0  # seconds between two ticks after which this process itself has paused


@dataclass(slots=True)
class _Worker:
    started: float
    heard: float
    ready: bool = False
    ready_at: float = 0.0
    ending: bool = False
    killed: bool = False
    ordered: bool = False  # to end, from outside: that is no failure
    deadline: float = 0.0  # by when it must have ended
    errors: int = 0
    failed_at: deque[float] = field(default_factory=deque)


class Slots:
    """The workers of one agent.

    Args:
        settings: of the kind.
        jitter: gives numbers from 0 up to 1.
        at_once: workers that start at the same time at most. More would take the processors from
            each other, and from the peer, whose lease has to be kept alive meanwhile.

    Attributes:
        trouble: last words of a worker, while starts fail again and again; "" for none.
    """

    def __init__(
        self, settings: PoolSettings, jitter: Callable[[], float], at_once: int = sys.maxsize
    ) -> None:
        self.trouble = ""
        self._settings = settings
        self._jitter = jitter
        self._at_once = at_once
        self._count = 0
        self._failures = 0
        self._failed_at = float("-inf")
        self._not_before = 0.0
        self._spares = 0
        self._lost_spares = 0  # in a row
        self._no_spare_before = 0.0
        self._ticked: float | None = None
        self._workers: dict[str, _Worker] = {}

    @property
    def live(self) -> int:
        """Number of workers that are there to stay."""
        return sum(not one.ending for one in self._workers.values())

    def scale(self, count: int, at: float) -> list[SlotInstruction]:
        """Keep this number of workers alive; those beyond it stay until they are retired."""
        self._count = count
        return self._decide(at)

    def spawned(self, worker: str, at: float, *, spare: bool = False) -> None:
        """Note that a worker was started, from a spare process or not."""
        self._workers[worker] = _Worker(at, at)
        self._spares -= spare

    def spare_ended(self, at: float, *, by_order: bool = False) -> None:
        """A spare process has ended.

        Unless its agent has ended it, another one is started after a pause, which grows.
        """
        self._spares -= 1
        if by_order:
            return
        self._no_spare_before = at + self._pause(self._lost_spares)
        self._lost_spares += 1

    def ready(self, worker: str, at: float) -> list[SlotInstruction]:
        """A worker is ready."""
        one = self._workers.get(worker)
        if one is None or one.ready:
            return []
        one.ready, one.ready_at, one.heard = True, at, at
        self._lost_spares = 0
        return self._decide(at)

    def beat(
        self, worker: str, at: float, *, busy: float = 0.0, memory: int = 0, errors: int = 0
    ) -> list[SlotInstruction]:
        """Note a sign of life of a worker.

        Args:
            worker: its name.
            at: the present time.
            busy: seconds for which its oldest job runs.
            memory: bytes of its process.
            errors: number of its errors since its start, as far as they count.
        """
        one = self._workers.get(worker)
        if one is None:
            return []
        one.heard = at
        settings = self._settings
        if settings.job_timeout and busy > settings.job_timeout + _LAST_WORDS:
            return self._kill(
                worker, one, f"its job took more than {settings.job_timeout:g} s (job_timeout)"
            )
        if settings.memory and memory > settings.memory:
            return self._kill(
                worker,
                one,
                f"its memory is {memory} bytes; the limit is {settings.memory} (memory)",
            )
        return self._count_errors(worker, one, errors, at)

    def _count_errors(
        self, worker: str, one: _Worker, errors: int, at: float
    ) -> list[SlotInstruction]:
        settings, failed = self._settings, one.failed_at
        failed.extend([at] * min(errors - one.errors, settings.error_limit + 1))
        one.errors = errors
        while failed and at - failed[0] > settings.error_memory:
            failed.popleft()
        if settings.error_limit and len(failed) > settings.error_limit:
            return self.retire(worker, at)
        return []

    def exited(self, worker: str, reason: str, at: float) -> list[SlotInstruction]:
        """A worker has ended."""
        one = self._workers.pop(worker, None)
        if one is None:
            return []
        found: list[SlotInstruction] = []
        if self._is_steady(one, at):
            self._well(found)
        elif not (one.ending or one.ordered):
            self._failures += 1
            self._failed_at = at
            if self._failures > 1:
                self._not_before = at + self._pause(self._failures - 2)
            late = not one.ready and self._failures >= self._settings.start_failures
            if late and reason != self.trouble:
                self.trouble = reason
                found.append(Trouble(reason))
        return found + self._decide(at)

    def retire(self, worker: str, at: float) -> list[SlotInstruction]:
        """End a worker for good; another one is started if there are too few without it."""
        one = self._workers.get(worker)
        if one is None or one.ending:
            return []
        return [*self._end(worker, one, at + self._settings.grace), *self._decide(at)]

    def kill(self, worker: str, reason: str) -> list[SlotInstruction]:
        """End a worker at once; it is replaced if it was needed."""
        one = self._workers.get(worker)
        if one is None:
            return []
        one.ordered = True
        return self._kill(worker, one, reason)

    def drain(self, at: float, grace: float) -> list[SlotInstruction]:
        """End all workers within the grace and start no other one."""
        self._count = 0
        found: list[SlotInstruction] = []
        for name, one in self._workers.items():
            if not one.ending:
                found += self._end(name, one, at + grace)
        return found

    def tick(self, at: float) -> list[SlotInstruction]:
        """Look at what time has brought: silence, late starts, pauses that are over."""
        if self._ticked is not None and at - self._ticked > _OWN_PAUSE:
            # Signs of life that came meanwhile are not read yet.
            for one in self._workers.values():
                one.heard = max(one.heard, at)
        self._ticked = at
        found: list[SlotInstruction] = []
        settings = self._settings
        for name, one in self._workers.items():
            if not one.ready and at - one.started > settings.start_timeout:
                found += self._kill(
                    name, one, f"not ready within {settings.start_timeout:g} s (start_timeout)"
                )
            elif one.ready and at - one.heard > settings.heartbeat:
                found += self._kill(
                    name, one, f"no sign of life for {settings.heartbeat:g} s (heartbeat)"
                )
            elif one.ending and at > one.deadline:
                found += self._kill(name, one, "it did not end within its grace")
            if self._is_steady(one, at):
                self._well(found)
        return found + self._decide(at)

    def _is_steady(self, one: _Worker, at: float) -> bool:
        # One that was ready before the latest failure says nothing about new ones.
        return one.ready and one.ready_at >= self._failed_at and at - one.ready_at >= _STEADY

    def _well(self, found: list[SlotInstruction]) -> None:
        self._failures = 0
        if self.trouble:
            self.trouble = ""
            found.append(Trouble(""))

    def _end(self, worker: str, one: _Worker, deadline: float) -> list[SlotInstruction]:
        one.ending, one.deadline = True, deadline
        return [End(worker)] if one.ready else self._kill(worker, one, "it was not ready yet")

    def _kill(self, worker: str, one: _Worker, reason: str) -> list[SlotInstruction]:
        if one.killed:
            return []
        one.killed = True
        return [Kill(worker, reason)]

    def _decide(self, at: float) -> list[SlotInstruction]:
        if at < self._not_before:
            return []
        missing = self._count - self.live
        if missing > 0:
            starting = sum(not one.ready and not one.ending for one in self._workers.values())
            # After a failure one tries it out.
            missing = min(missing, (1 if self._failures else self._at_once) - starting)
        return [Spawn()] * missing if missing > 0 else self._prepare(at)

    def _prepare(self, at: float) -> list[SlotInstruction]:
        # Not while workers start: a spare would take the processor from them.
        settings = self._settings
        quiet = all(one.ready for one in self._workers.values()) and not self._failures
        if settings.isolation != "process" or not self._count or not quiet:
            return []
        missing = settings.spare - self._spares if at >= self._no_spare_before else 0
        self._spares += max(0, missing)
        return [Prepare()] * max(0, missing)

    def _pause(self, doublings: int) -> float:
        settings = self._settings
        longest: float = min(settings.longest_pause, settings.pause * 2.0 ** min(doublings, 30))
        return longest * (0.5 + 0.5 * self._jitter())
