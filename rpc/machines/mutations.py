"""The mutations of one mirror: carried out once, within its access, and answered."""

from __future__ import annotations

from dataclasses import dataclass

from machine.waits.result import Result
from rpc.machine_pb2 import Mutation, Outcome
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.errors import AccessDenied, ProtocolError, RemoteError
from rpc.machines.messages import KINDS, fault_of, source_from
from rpc.machines.source import SourceMachine
from rpc.machines.values import from_values

__all__ = ["KeptOutcome", "Mutations"]

_RESULTS: dict[str, Outcome.Result] = {
    "executed": Outcome.EXECUTED,
    "canceled": Outcome.CANCELED,
    "queued": Outcome.QUEUED,
}


@dataclass(slots=True)
class KeptOutcome:
    """An outcome that a mirror may not have got, with the result it waits for if it is queued."""

    outcome: Outcome
    queued: Result | None = None


class Mutations:
    """Carries the mutations of one mirror out.

    Args:
        mirror: its id.
        source: the machine.
        access: what the mirror may do.
        kept: the outcomes that it may not have got before.
    """

    def __init__(
        self,
        mirror: str,
        source: SourceMachine,
        access: Access,
        kept: KeptOutcomes[KeptOutcome],
    ) -> None:
        self._mirror = mirror
        self._source = source
        self._access = access
        self._kept = kept

    def take(self, mutation: Mutation, names: tuple[str, ...]) -> KeptOutcome | None:
        """Carry a mutation out, or find the outcome of the time when it was.

        Args:
            mutation: the message.
            names: the agreed names, to which its positions refer.

        Returns:
            None if the mirror wants no outcome, or has it.
        """
        number = mutation.id
        self._kept.forget(mutation.done)
        if number and not self._kept.begin(number):
            return self._kept.get(number)
        outcome = self._carried_out(mutation, names)
        if not number:
            return None
        self._kept.end(number, outcome)
        return outcome

    async def finish(self, kept: KeptOutcome, queued: Result) -> Outcome:
        """The outcome of a queued mutation, once it has run."""
        result = await queued
        kept.outcome = Outcome(id=kept.outcome.id, result=_RESULTS[str(result)])
        kept.queued = None
        return kept.outcome

    def _carried_out(self, mutation: Mutation, names: tuple[str, ...]) -> KeptOutcome:
        try:
            result = self._run(mutation, names)
        except Exception as error:  # noqa: BLE001 - it is the caller's to hear
            fault = fault_of(error)
            return KeptOutcome(Outcome(id=mutation.id, result=Outcome.REFUSED, fault=fault))
        outcome = Outcome(id=mutation.id, result=_RESULTS[str(result)])
        if not result.queued:
            return KeptOutcome(outcome)
        outcome.queue_tick = result.tick
        return KeptOutcome(outcome, result)

    def _run(self, mutation: Mutation, names: tuple[str, ...]) -> Result:
        called = _called(mutation, names)
        kind = KINDS.get(mutation.kind)
        if kind is None:
            raise ProtocolError(f"there is no mutation of kind {mutation.kind}")
        refused = self._access.refused(called)
        if refused:
            raise AccessDenied(f"mirror {self._mirror!r} may not mutate {', '.join(refused)}")
        args = from_values(mutation.args) if mutation.HasField("args") else None
        origin = source_from(mutation)
        if mutation.HasField("error"):
            error = RemoteError(mutation.error.type, mutation.error.text)
            return self._source.add_error(called, error, args, origin)
        return self._source.mutate(kind, called, args, origin)


def _called(mutation: Mutation, names: tuple[str, ...]) -> list[str]:
    for at in mutation.indexes:
        if at >= len(names):
            raise ProtocolError(f"there is no state {at} of {len(names)}")
    return [names[at] for at in mutation.indexes]
