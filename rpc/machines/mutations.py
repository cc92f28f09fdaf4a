"""The mutations of one mirror: carried out once, within its access, and answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from machine.waits.result import Result
from rpc.machine_pb2 import Fault, Mutation, Outcome
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.errors import AccessDenied, ProtocolError, RemoteError
from rpc.machines.messages import KINDS, fault_of, source_from
from rpc.machines.source import SourceMachine
from rpc.machines.values import from_values

__all__ = ["KeptOutcome", "Mutations"]

_MOST_KEPT = 65_536  # outcomes that one mirror has not acknowledged


@dataclass(slots=True)
class KeptOutcome:
    """The outcome of a call, kept until its mirror has it.

    Attributes:
        number: of the call.
        result: the present one.
        queue_tick: of a queued mutation.
        fault: of a refused one.
        queued: what tells the final result of a queued one.
        relayed: the call to the source of a relay; None once it has its outcome.
    """

    number: int
    result: Outcome.Result
    queue_tick: int = 0
    fault: Fault | None = None
    queued: Result | None = None
    relayed: asyncio.Task[Result] | None = None

    def take(self, result: Result) -> None:
        """Take the result of the machine."""
        if result.queued:
            self.result, self.queue_tick, self.queued = Outcome.QUEUED, result.tick, result
        else:
            self.result = _result_of(result)

    def fill(self, message: Outcome) -> None:
        """Write it into an empty message."""
        message.id = self.number
        message.result = self.result
        if self.queue_tick:
            message.queue_tick = self.queue_tick
        if self.fault is not None:
            message.fault.CopyFrom(self.fault)


class Mutations:
    """Carries the mutations of one mirror out.

    Args:
        mirror: its id.
        source: the machine.
        access: what the mirror may do.
        kept: the outcomes of earlier calls that it has not acknowledged.
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
        if len(self._kept) >= _MOST_KEPT:
            raise ProtocolError(f"mirror {self._mirror!r} acknowledges no outcomes")
        if number and not self._kept.begin(number):
            return self._kept.get(number)
        outcome = self._carried_out(mutation, names)
        if not number:
            return None
        self._kept.end(number, outcome)
        return outcome

    async def arrive(self, kept: KeptOutcome) -> None:
        """Wait for the outcome of a call that a relay has passed on."""
        relayed = kept.relayed
        if relayed is None:
            return
        try:
            result = await asyncio.shield(relayed)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            kept.result, kept.fault = Outcome.REFUSED, fault_of(error)
        else:
            kept.take(result)
        kept.relayed = None

    async def finish(self, kept: KeptOutcome, queued: Result) -> None:
        """Wait until a queued mutation has run, and keep its final result."""
        result = await queued
        kept.result = _result_of(result)
        kept.queue_tick = 0
        kept.queued = None

    def _carried_out(self, mutation: Mutation, names: tuple[str, ...]) -> KeptOutcome:
        try:
            result = self._run(mutation, names)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return KeptOutcome(mutation.id, Outcome.REFUSED, fault=fault_of(error))
        kept = KeptOutcome(mutation.id, Outcome.QUEUED)
        if isinstance(result, Result):
            kept.take(result)
        else:
            kept.relayed = result
        return kept

    def _run(self, mutation: Mutation, names: tuple[str, ...]) -> Result | asyncio.Task[Result]:
        called = _called(mutation, names)
        kind = KINDS.get(mutation.kind)
        if kind is None:
            raise ProtocolError(f"there is no mutation of kind {mutation.kind}")
        access = self._access
        if access.mutate is not None and (refused := access.refused(called)):
            raise AccessDenied(f"mirror {self._mirror!r} may not mutate {', '.join(refused)}")
        args = from_values(mutation.args) if mutation.HasField("args") else None
        origin = source_from(mutation)
        if mutation.HasField("error"):
            error = RemoteError(mutation.error.type, mutation.error.text)
            return self._source.add_error(called, error, args, origin)
        return self._source.mutate(kind, called, args, origin)


def _result_of(result: Result) -> Outcome.Result:
    return Outcome.EXECUTED if result.executed else Outcome.CANCELED


def _called(mutation: Mutation, names: tuple[str, ...]) -> list[str]:
    indexes = mutation.indexes
    try:
        return [names[at] for at in indexes]
    except IndexError:
        raise ProtocolError(f"there is no state {max(indexes)} of {len(names)}") from None
