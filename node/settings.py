"""Settings of a pool of workers, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from grid.errors import InvalidArgument

__all__ = ["PoolSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Settings of the workers of one kind. Each field is an argument of `node.worker`.

    Attributes:
        min: workers that the pool keeps alive, over all peers.
        max: workers that it has at most.
        warm: free workers that it keeps beside those that serve, up to `max`.
        per_client: workers that one client has at a time at most; 0: no limit.
        per_peer: workers on one peer at most; 0: no limit.
        isolation: `"process"` runs each worker in an operating system process of its own,
            `"task"` in the process of its peer.
        concurrency: jobs that a worker runs at once; above 1 for async functions only.
        start_timeout: seconds that a worker may take to get ready.
        heartbeat: seconds without a sign of life after which a worker is killed.
        job_timeout: seconds after which a worker whose job still runs is killed; 0: never.
        error_limit: failed jobs of a machine within `error_memory` above which it is replaced;
            0: no limit. Functions that raise are not replaced.
        error_memory: seconds for which failed jobs of a machine count.
        memory: bytes of a worker's process above which it is replaced; 0: no limit.
        grace: seconds that a worker gets to finish when it shall end.
        rest: seconds that workers beyond the need stay before they are ended.
        start_failures: failed starts in a row after which a peer reports trouble.
        pause: seconds before the second try to start a worker that failed; doubles.
        longest_pause: seconds between such tries at most.
    """

    min: int = 2
    max: int = 10
    warm: int = 5
    per_client: int = 10
    per_peer: int = 0
    isolation: Literal["process", "task"] = "process"
    concurrency: int = 1
    start_timeout: float = 30.0
    heartbeat: float = 60.0
    job_timeout: float = 0.0
    error_limit: int = 3
    error_memory: float = 600.0
    memory: int = 0
    grace: float = 5.0
    rest: float = 30.0
    start_failures: int = 3
    pause: float = 0.2
    longest_pause: float = 10.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "isolation":
                if value not in ("process", "task"):
                    raise InvalidArgument("isolation", value, "'process' or 'task'")
            elif one.type == "int":
                _check_whole(one.name, value, 1 if one.name in _FROM_ONE else 0)
            else:
                _check_seconds(one.name, value, above=one.name in _ABOVE_ZERO)
        if self.max < self.min:
            raise InvalidArgument("max", self.max, f"{self.min} (min) or more")


_FROM_ONE = ("max", "concurrency", "start_failures")
_ABOVE_ZERO = ("start_timeout", "heartbeat", "pause", "longest_pause")


def _check_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgument(name, value, f"a whole number from {least}")


def _check_seconds(name: str, value: Any, *, above: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1e9 or (above and value == 0):
        raise InvalidArgument(name, value, "seconds above 0" if above else "seconds from 0")
