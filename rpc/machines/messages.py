"""Conversions between messages of `machine.proto` and the values of a machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from grid.errors import InvalidArgument as InvalidSetting
from grid.numbers import FOREVER, check_seconds
from machine.core.mutation import Source
from machine.errors import InvalidArgument, MachineError
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from rpc.machine_pb2 import ClockMsg, Fault, Mutation, Origin, Snapshot, ToMirror
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    NotPlainData,
    PayloadTooLarge,
    ProtocolError,
    RemoteError,
    SourceGone,
    UnknownCall,
)

__all__ = [
    "KINDS",
    "KIND_NUMBERS",
    "MACHINE_TYPE",
    "VERSION",
    "check_names",
    "fault_of",
    "in_frame",
    "microseconds",
    "names_hash",
    "origin_of",
    "raised",
    "schema_hash",
    "seconds_of",
    "source_from",
    "timeout_of",
]

VERSION = 1
MACHINE_TYPE = "rpc.Machine"  # of the mailboxes of served machines, in the registry

KIND_NUMBERS: dict[Kind, Mutation.Kind] = {
    Kind.ADD: Mutation.ADD,
    Kind.REMOVE: Mutation.REMOVE,
    Kind.SET: Mutation.SET,
}
KINDS: dict[int, Kind] = {number: kind for kind, number in KIND_NUMBERS.items()}

# Errors that keep their class on the other side, by their code.
_CODES: dict[str, type[MachineError]] = {
    "access-denied": AccessDenied,
    "call-timeout": CallTimeout,
    "invalid-argument": InvalidArgument,
    "not-connected": NotConnected,
    "not-plain-data": NotPlainData,
    "payload-too-large": PayloadTooLarge,
    "protocol": ProtocolError,
    "source-gone": SourceGone,
    "unknown-call": UnknownCall,
}
_LONGEST_TEXT = 4096
_LONGEST_INTERVAL = 3600


def names_hash(names: Iterable[str]) -> int:
    """64 bits of the SHA-256 of an ordered list of names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1


def check_names(machine: str, names: Sequence[str], given: Schema, *, partial: bool) -> None:
    """Check the names of a source against the schema that was given for it here.

    Args:
        machine: the name under which it is served, for the text.
        names: of the source.
        given: the schema.
        partial: the source tells a part of its names only.

    Raises:
        ProtocolError: they are not the same states; their order does not matter.
    """
    unknown = [name for name in names if name not in given]
    missing = [name for name in given.names if name not in names and name != EXCEPTION]
    if unknown or (missing and not partial):
        differ = _listed("only there", unknown) + ([] if partial else _listed("only here", missing))
        raise ProtocolError(
            f"the states of {machine!r} are not those that were given: {'; '.join(differ)}",
            hint="Leave out `states` to take the source's.",
        )


def _listed(where: str, names: Sequence[str]) -> list[str]:
    return [f"{where} {', '.join(names)}"] if names else []


def schema_hash(schema: Schema) -> int:
    """64 bits of a schema's fingerprint."""
    return int(schema.fingerprint()[:16], 16) or 1


def fault_of(error: BaseException) -> Fault:
    """An error as a message: its type, its text, and a code if its class is kept by `raised`."""
    code = next((code for code, cls in _CODES.items() if type(error) is cls), "")
    if isinstance(error, RemoteError):  # of a mirror that is served again
        return Fault(type=error.type, text=error.remote_text[:_LONGEST_TEXT])
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's class
        text = "(its text cannot be had)"
    text = text.encode("utf-8", "replace").decode()
    return Fault(type=type(error).__name__, text=text[:_LONGEST_TEXT], code=code)


def raised(fault: Fault, machine: str = "") -> MachineError:
    """The error in a message, as an exception."""
    cls = _CODES.get(fault.code)
    if cls is not None:
        return cls(fault.text)
    return RemoteError(fault.type, fault.text, machine=machine or None)


def microseconds(seconds: float) -> int:
    """An interval as messages have it.

    Raises:
        InvalidArgument: it is no number of seconds, negative, or too long.
    """
    if check_seconds("interval", seconds) > _LONGEST_INTERVAL:
        raise InvalidSetting("interval", seconds, f"{_LONGEST_INTERVAL} seconds at most")
    return max(1, round(seconds * 1e6)) if seconds else 0


def timeout_of(seconds: float) -> int:
    """The time that is left for a call as messages have it, in microseconds; never 0."""
    return max(1, round(min(seconds, FOREVER) * 1e6))


def seconds_of(timeout: int) -> float | None:
    """The seconds that are left for a call; None if the message does not say."""
    return min(timeout / 1e6, FOREVER) if timeout else None


def origin_of(source: Source) -> Origin:
    """The transition that caused a mutation, as a message."""
    return Origin(machine=source.machine, transition=source.transition, time=source.time)


def source_from(mutation: Mutation) -> Source | None:
    """The transition that caused a mutation; None if the message has none."""
    if not mutation.HasField("origin"):
        return None
    origin = mutation.origin
    return Source(origin.machine, origin.transition, origin.time)


def in_frame(update: ClockMsg | Snapshot) -> ToMirror:
    """An update as a message of its own."""
    if isinstance(update, Snapshot):
        return ToMirror(snapshot=update)
    return ToMirror(clock=update)
