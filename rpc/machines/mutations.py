"""The mutations of one mirror: carried out once, within its access, and answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from grid.aio import USER_ERRORS
from machine.waits.result import EXECUTED, Result
from rpc.machine_pb2 import Fault, Mutation, Outcome
from rpc.machines.access import Access
from rpc.machines.calls import KeptOutcomes
from rpc.machines.errors import AccessDenied, ProtocolError, RemoteError
from rpc.machines.messages import KINDS, fault_of, seconds_of, source_from
from rpc.machines.neighbour import Request
from rpc.machines.source import SourceMachine
from rpc.machines.values import from_values

__all__ = ["KeptOutcome", "Mutations"]

_log = logging.getLogger("rpc.server")

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

    def carry_out(self, request: Request) -> tuple[Result | None, Fault | None]:
        """Carry a mutation of this process out: the result of the machine, or why it is refused."""
        try:
            self._check_access(request.called)
            result = self._source.mutate(request.kind, request.called, request.args, request.origin)
        except USER_ERRORS as error:
            return None, self._fault(error)
        assert isinstance(result, Result)  # noqa: S101 - of a relay it is not asked for
        return result, None

    def keep(self, number: int, result: Result | None, fault: Fault | None) -> KeptOutcome:
        """Keep the outcome of a mutation that was carried out so, for messages.

        Args:
            number: of the call.
            result: of the machine, or
            fault: why it was refused.
        """
        self._kept.begin(number)
        kept = KeptOutcome(number, Outcome.REFUSED, fault=fault)
        if result is not None:
            kept.take(result)
        self._kept.end(number, kept)
        return kept

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
        except USER_ERRORS as error:
            return KeptOutcome(mutation.id, Outcome.REFUSED, fault=self._fault(error))
        if result is EXECUTED:  # the usual one
            return KeptOutcome(mutation.id, Outcome.EXECUTED)
        kept = KeptOutcome(mutation.id, Outcome.QUEUED)
        if isinstance(result, Result):
            kept.take(result)
        else:
            kept.relayed = result
        return kept

    def _fault(self, error: BaseException) -> Fault:
        # The caller gets it. What is no `Exception` left a handler: it would end whatever has
        # called this, such as the connection that others share, and the machine did not log it.
        if not isinstance(error, Exception):
            _log.error("a mutation of mirror %r failed", self._mirror, exc_info=error)
        return fault_of(error)

    def _run(self, mutation: Mutation, names: tuple[str, ...]) -> Result | asyncio.Task[Result]:
        indexes = mutation.indexes
        try:
            called = tuple(map(names.__getitem__, indexes))
        except IndexError:
            text = f"there is no state {max(indexes)} of {len(names)}"
            raise ProtocolError(text) from None
        kind = KINDS.get(mutation.kind)
        if kind is None:
            raise ProtocolError(f"there is no mutation of kind {mutation.kind}")
        if self._access.mutate is not None:
            self._check_access(called)
        args = from_values(mutation.args) if mutation.HasField("args") else None
        origin = source_from(mutation) if mutation.HasField("origin") else None
        timeout = None if self._source.relay is None else seconds_of(mutation.timeout)
        if mutation.HasField("error"):
            error = RemoteError(mutation.error.type, mutation.error.text)
            return self._source.add_error(called, error, args, origin, timeout)
        return self._source.mutate(kind, called, args, origin, timeout)

    def _check_access(self, called: Sequence[str]) -> None:
        refused = self._access.refused(called)
        if refused:
            raise AccessDenied(f"mirror {self._mirror!r} may not mutate {', '.join(refused)}")


def _result_of(result: Result) -> Outcome.Result:
    return Outcome.EXECUTED if result.executed else Outcome.CANCELED
