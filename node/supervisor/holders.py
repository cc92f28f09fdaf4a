"""Claims that had workers last: their clients hear why a worker has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from node.policy.instructions import ClaimKey, Grant, Instruction, Loss

__all__ = ["Holders"]


class Holders:
    """The claim that had each worker last.

    A client notices first that a worker has ended, and releases it: the policy then has no loss
    to tell, and the client does not know the reason.
    """

    def __init__(self) -> None:
        self._claims: dict[str, ClaimKey] = {}

    def granted(self, instructions: Iterable[Instruction]) -> None:
        """Note the claims that get workers."""
        for one in instructions:
            if isinstance(one, Grant):
                self._claims[one.worker] = one.claim

    def held(self, claim: ClaimKey, workers: Iterable[str]) -> None:
        """Note the workers that a claim has, as its client says."""
        self._claims.update(dict.fromkeys(workers, claim))

    def ended(self, worker: str, reason: str, told: list[Instruction]) -> list[Instruction]:
        """Instructions of the policy for the end of a worker, and what they leave untold."""
        claim = self._claims.pop(worker, None)
        losses = {one.worker for one in told if isinstance(one, Loss)}
        return told if claim is None or worker in losses else [Loss(claim, worker, reason), *told]

    def keep(self, workers: Collection[str]) -> None:
        """Forget all workers but these."""
        for worker in [one for one in self._claims if one not in workers]:
            del self._claims[worker]
