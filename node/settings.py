"""Settings of a pool of workers, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from grid.errors import InvalidArgument
from grid.numbers import check_count, check_seconds, is_number

__all__ = ["PoolSettings", "differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Settings of the workers of one kind. Each field is an argument of `node.worker`.

    Attributes:
        min: workers that the pool keeps alive, over all peers.
        max: workers that it has at most.
        warm: free workers that it keeps beside those that serve, up to `max`.
        per_client: workers that one client has at a time at most; 0: no limit.
        per_peer: workers on one peer at most; 0: no limit.
        spare: processes that each peer with workers starts and imports ahead, so that a worker that
            ends is replaced at once. They hold memory and do nothing.
        cpus: processors that a peer must have free for a worker; 0: any number.
        room: bytes of memory that a peer must have free for a worker; 0: any number.
        annotations: those that a peer must have, such as `["gpu=1"]`.
        spread: name of an annotation, such as `"zone"`: workers are spread evenly over its values,
            and over the peers of each; by default over the peers.
        isolation: `"process"` runs each worker in an operating system process of its own,
            `"task"` in the process of its peer.
        concurrency: jobs that a worker runs at once; above 1 for async functions only.
        start_timeout: seconds that a worker may take to get ready.
        heartbeat: seconds without a sign of life after which a worker is killed. A job may hold up
            its process for as long.
        job_timeout: seconds after which a worker whose job still runs is killed; 0: never.
        error_limit: failed jobs of a machine within `error_memory` above which it is replaced;
            0: no limit. Functions that raise are not replaced.
        error_memory: seconds for which failed jobs of a machine count.
        memory: bytes of a worker's process above which it is replaced; 0: no limit.
        grace: seconds that a worker gets to finish when it shall end, and a job to end whose
            client has left or cancelled it.
        rest: seconds that workers beyond the need stay before they are ended.
        start_failures: failed starts in a row after which a peer reports trouble.
        pause: seconds before the second try to start a worker that failed; doubles.
        longest_pause: seconds between such tries at most.
        log_folder: folder of the files that keep the output of workers; by default that of
            `GRID_WORKER_LOGS`, else a private one among the temporary files, where they end
            with their peer.
        log_size: bytes of a file after which the next one begins.
        log_files: files of one worker at most.
        log_workers: workers of the kind that have ended and whose files are kept.
    """

    min: int = 2
    max: int = 10
    warm: int = 5
    per_client: int = 10
    per_peer: int = 0
    spare: int = 1
    cpus: float = 0.0
    room: int = 0
    annotations: tuple[str, ...] = ()
    spread: str = ""
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
    log_folder: str = ""
    log_size: int = 1 << 20
    log_files: int = 3
    log_workers: int = 20

    def __post_init__(self) -> None:
        for one in fields(self):
            self._check(one.name, one.type)
        if self.max < self.min:
            raise InvalidArgument("max", self.max, f"{self.min} (min) or more")
        if self.longest_pause < self.pause:
            raise InvalidArgument("longest_pause", self.longest_pause, f"{self.pause:g} or more")
        if self.memory and self.room > self.memory:
            raise InvalidArgument("room", self.room, f"{self.memory} (memory) or less")
        if self.memory and self.isolation == "task":
            raise InvalidArgument("memory", self.memory, "0 with isolation='task'")

    def _check(self, name: str, type_: Any) -> None:
        value = getattr(self, name)
        match name:
            case "isolation":
                if value not in ("process", "task"):
                    raise InvalidArgument("isolation", repr(value), "'process' or 'task'")
            case "cpus":
                if not is_number(value) or not 0 <= value <= _MOST_CPUS:
                    raise InvalidArgument("cpus", repr(value), "a number of processors from 0")
            case "annotations":
                _check_annotations(value)
                object.__setattr__(self, "annotations", tuple(value))
            case "spread" | "log_folder":
                _check_text(name, value)
            case _ if type_ == "int":
                check_count(name, value, 1 if name in _FROM_ONE else 0)
            case _:
                check_seconds(name, value, zero=name not in _ABOVE_ZERO)


def differences(before: PoolSettings, after: PoolSettings) -> list[str]:
    """Changes of settings, as in `min 2→1`."""
    pairs = [
        (one.name, getattr(before, one.name), getattr(after, one.name)) for one in fields(after)
    ]
    return [f"{name} {old}→{new}" for name, old, new in pairs if old != new]


_MOST_CPUS = 1e6
_FROM_ONE = ("max", "concurrency", "start_failures", "log_size", "log_files")
_ABOVE_ZERO = ("start_timeout", "heartbeat", "pause", "longest_pause")


def _check_annotations(value: Any) -> None:
    whole = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if not whole:
        raise InvalidArgument("annotations", repr(value), "a list of texts, as in ['gpu=1']")


def _check_text(name: str, value: Any) -> None:
    if name == "spread" and (not isinstance(value, str) or "=" in value):
        raise InvalidArgument("spread", repr(value), "the name of an annotation")
    if not isinstance(value, str):
        raise InvalidArgument(name, repr(value), "the path of a folder, as text")
