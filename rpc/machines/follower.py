"""A client's remote machine and its calls, brought up to date by what a connection receives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from machine.core.machine import Machine
from machine.schema.schema import Schema, as_schema
from rpc.machine_pb2 import Fault, Hello, Outcome, Receipt, Step, Value, Welcome
from rpc.machines.caller import Caller
from rpc.machines.errors import ProtocolError
from rpc.machines.messages import check_names, names_hash, raised, schema_hash
from rpc.machines.mirror import Change, Decision, Mirror
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.states import ClientStates

__all__ = ["Follower"]


class Follower:
    """The receiving half of a client; implements `MirrorOwner`.

    Args:
        name: under which the machine is served.
        caller: the sending half; gets the remote machine as soon as it is known.
        mirror: of the machine.
        mach: the client's own life.
        states: the schema that was given for the machine here.
        partial: the mirror has a part of the states only.
        on_payload: called with each payload.
        on_progress: called with each piece of a payload.
    """

    def __init__(
        self,
        name: str,
        caller: Caller,
        mirror: Mirror,
        mach: Machine[ClientStates],
        states: object,
        partial: bool,
        on_payload: Callable[[Payload], object] | None,
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self._name = name
        self._caller = caller
        self._mirror = mirror
        self._mach = mach
        self._given = self._schema = None if states is None else as_schema(states)
        self._partial = partial
        self._on_payload = on_payload
        self._on_progress = on_progress

    def greeting(self, hello: Hello) -> Hello:
        """A client's hello with the names and the schema that are known."""
        greeting = Hello()
        greeting.CopyFrom(hello)
        known = self._mirror.names
        if not known and self._schema is not None and not self._partial:
            known = self._schema.names
        if known:
            greeting.names_hash = names_hash(known)
        if self._schema is not None:
            greeting.schema_hash = schema_hash(self._schema)
        return greeting

    def welcomed(self, welcome: Welcome) -> Decision:
        """See `MirrorOwner`."""
        names = tuple(welcome.names) or self._known_names()
        if names_hash(names) != welcome.names_hash:
            raise ProtocolError("the names of the source do not have the hash that it says")
        if self._given is not None:
            check_names(self._name, names, self._given, partial=self._partial)
        if welcome.schema:
            self._schema = Schema.from_json(welcome.schema.decode())
        elif self._schema is None:
            self._schema = Schema({name: {} for name in names})
        if not self._mirror.names:
            tags = tuple(welcome.tags)
            machine = RemoteMachine[Any](self._caller, self._schema, welcome.machine, tags)
            self._caller.machine = machine
        self._caller.machine.agree(names, self._schema)
        decision = self._mirror.begin(names, welcome.snapshot)
        if welcome.HasField("fault"):
            self.faulted(welcome.fault)
        return decision

    def changed(self, change: Change) -> None:
        """See `MirrorOwner`."""
        self._caller.machine.apply(self._mirror.shown, change.restarted)

    def synchronised(self, answers: int) -> None:
        """See `MirrorOwner`."""
        self._caller.synchronised(answers)

    def outcome(self, outcome: Outcome) -> None:
        """See `MirrorOwner`."""
        self._caller.outcome(outcome)

    def matched(self, token: int) -> None:
        """See `MirrorOwner`."""
        self._caller.matched(token)

    def refused(self, refusal: Receipt) -> None:
        """See `MirrorOwner`."""
        self._caller.refused(refusal)

    def value(self, value: Value) -> None:
        """See `MirrorOwner`."""
        self._caller.value(value)

    def stepped(self, step: Step) -> None:
        """See `MirrorOwner`."""
        self._caller.machine.stepped(step)

    def faulted(self, fault: Fault) -> None:
        """See `MirrorOwner`."""
        self._caller.machine.faulted(raised(fault, self._name))

    def payload(self, payload: Payload) -> object:
        """See `MirrorOwner`."""
        self._mach.add("ServerPayload", args={"payload": payload})
        self._mach.remove("ServerPayload")
        return None if self._on_payload is None else self._on_payload(payload)

    def progress(self, progress: Progress) -> None:
        """See `MirrorOwner`."""
        if self._on_progress is not None:
            self._on_progress(progress)

    def heard(self) -> None:
        """See `MirrorOwner`."""
        self._caller.last_heard = asyncio.get_running_loop().time()

    def _known_names(self) -> tuple[str, ...]:
        if self._mirror.names:
            return self._mirror.names
        return () if self._schema is None else self._schema.names
