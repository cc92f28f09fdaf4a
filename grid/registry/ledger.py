"""The names of one lease: held, being claimed and being freed. Pure: no I/O, no clock.

Claims and frees queue here until the next transaction; `next_batch` says what goes together.
A key is *pending* from the moment it is claimed until the claim has its outcome, and again
while what an unwanted claim brought in is given back. A key that is pending has no owner that
could be named, so another claim of it here waits; a key that is held is refused at once.

Whether a claim that failed was granted all the same cannot be known when the answer was lost.
Its keys are then freed by lease: that deletes them only if they belong to this lease.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from grid.errors import (
    AlreadyRegistered,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    GridError,
    LeaseLost,
)

__all__ = ["Ledger", "Operation"]

# Answers of etcd: the claim was seen, and refused.
_NOT_GRANTED = (
    AlreadyRegistered,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    LeaseLost,
)
_OPERATIONS_PER_TRANSACTION = 100  # etcd allows 128 by default
_BYTES_PER_TRANSACTION = 512 * 1024  # etcd allows 1.5 MiB by default


@dataclass(slots=True, eq=False)
class Operation:
    """One nested transaction: a claim, or, without values, a free.

    Attributes:
        keys: the full names, which are claimed all or none.
        values: the registrations to put under them; empty for a free.
        epoch: of a free, the incarnation to delete; 0 for the one under this lease.
        again: a free that failed once, which goes without claims from then on.
    """

    keys: tuple[str, ...]
    values: tuple[bytes, ...] = ()
    epoch: int = 0
    again: bool = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = 64 + sum(map(len, self.keys)) * 3 + sum(map(len, self.values))

    @property
    def is_claim(self) -> bool:
        """True for a claim."""
        return bool(self.values)


class Ledger:
    """The names of one lease.

    Attributes:
        held: the epoch of each key that is held.
        pending: the keys whose outcome is not known yet.
        closed: True once nothing more is sent.
    """

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.pending: set[str] = set()
        self.closed: bool = False
        self._queue: deque[Operation] = deque()

    def __len__(self) -> int:
        """Operations that wait for a transaction."""
        return len(self._queue)

    def claim(self, values: Mapping[str, bytes]) -> Operation:
        """Queue a claim of keys that are neither held nor pending."""
        operation = Operation(tuple(values), tuple(values.values()))
        self.pending.update(operation.keys)
        self._queue.append(operation)
        return operation

    def free(self, keys: Iterable[str], epoch: int) -> list[Operation]:
        """Queue frees: one for each key, as a key that is gone must not keep the others."""
        operations = [Operation((key,), epoch=epoch) for key in keys]
        self._queue.extend(operations)
        return operations

    def next_batch(self) -> list[Operation]:
        """The operations that go in one transaction; empty if none wait."""
        batch: list[Operation] = []
        size = operations = 0
        while self._queue:
            following = self._queue[0]
            operations += len(following.keys)
            size += following.size
            full = operations > _OPERATIONS_PER_TRANSACTION or size > _BYTES_PER_TRANSACTION
            # etcd without space refuses a transaction that puts anything, and takes deletes.
            if batch and (full or following.again != batch[0].again):
                break
            batch.append(self._queue.popleft())
        return batch

    def granted(self, claim: Operation, epoch: int, *, wanted: bool) -> None:
        """A claim came in; if it is not wanted any more, its keys are given back."""
        if wanted:
            self.held.update(dict.fromkeys(claim.keys, epoch))
            self.pending.difference_update(claim.keys)
        else:
            self.give_back(claim, epoch)

    def refused(self, claim: Operation, error: GridError) -> None:
        """A claim failed. Unless the error says that it was not granted, it is given back."""
        if self.closed or isinstance(error, _NOT_GRANTED):
            self.forget(claim.keys)
        else:
            self.give_back(claim, 0)

    def give_back(self, claim: Operation, epoch: int) -> None:
        """Free what a claim brought in that is not wanted; with epoch 0 what it may have."""
        self.forget(claim.keys)
        if not self.closed:
            self.pending.update(claim.keys)
            self.free(claim.keys, epoch)

    def freed(self, free: Operation) -> None:
        """A free is done, or the lease takes the key along."""
        self.forget(free.keys)

    def retry(self, free: Operation) -> None:
        """Queue a free once more, before everything else."""
        free.again = True
        self._queue.appendleft(free)

    def forget(self, keys: Iterable[str]) -> None:
        """The keys are no longer held or pending here."""
        for key in keys:
            self.held.pop(key, None)
            self.pending.discard(key)

    def close(self) -> list[Operation]:
        """Send nothing more; the operations that waited."""
        self.closed = True
        waiting = list(self._queue)
        self._queue.clear()
        return waiting
