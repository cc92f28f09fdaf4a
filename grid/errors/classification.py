"""The classification of errors: one table, used wherever an error has to be judged.

For each class the table has the gRPC status code that carries it, its status class (the
prospects of the next call), its evidence about the peer for breakers, and whether it travels
between processes. `retryable` stands on the class itself. An error that is not listed, such as a
user's own, is looked up by the classes that it derives from, in order.

Every error has an origin: the grid, or an actor. Only the grid (the gate of the receiving
peer, its mailbox, or the sending side) knows whether a request was delivered. Whatever an actor
answers with is therefore a `RequestFailed`; `from_actor` makes it one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
from typing import NamedTuple

from grid.errors._actors import (
    ActorStartFailed,
    ActorStillRunning,
    FactoryFailed,
    IncompleteBroadcast,
    NilActor,
    UnknownActor,
    UnknownActorType,
)
from grid.errors._base import GridError, text_of
from grid.errors._delivery import (
    ActorEnded,
    BreakerOpen,
    DeadlineExceeded,
    Filtered,
    MailboxClosed,
    NotDelivered,
    NotPlaced,
    OnStartFailed,
    OutcomeUnknown,
    PeerBusy,
    PeerFull,
    PeerNotServing,
    PeerUnreachable,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    StaleEpoch,
    StreamClosed,
    StreamsUnsupported,
    UndecodableMessage,
    UnknownMailbox,
    UnknownMessageType,
    UnregisteredMailbox,
)
from grid.errors._etcd import (
    EmbeddedEtcdFailed,
    EtcdAuthFailed,
    EtcdCompacted,
    EtcdError,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    EtcdUnavailable,
)
from grid.errors._input import (
    AlreadyResponded,
    CannotRunHere,
    ClientClosed,
    ForkedProcess,
    InvalidActorType,
    InvalidAddress,
    InvalidArgument,
    InvalidName,
    InvalidNamespace,
    MessageTooLarge,
    ServerNotRunning,
    UnexpectedReply,
    UnspecifiedAddress,
    UnsupportedMessage,
    WrongEventLoop,
)
from grid.errors._registry import (
    AddressInUse,
    AddressLocked,
    AlreadyRegistered,
    LeaseLost,
    LeaseTooShort,
)
from grid.errors._security import (
    ClientNotTrusted,
    PeerNotTrusted,
    SecurityError,
    TlsNotOffered,
    TlsRequired,
    TokenRefused,
)
from grid.errors._state import StateFenced, StateTooLarge, StoreUnavailable, UnexpectedState

__all__ = [
    "TABLE",
    "Evidence",
    "Meaning",
    "StatusClass",
    "from_actor",
    "is_from_actor",
    "is_of_request",
    "mark_of_request",
    "meaning",
    "text_of",
]


class StatusClass(enum.StrEnum):
    """The outcome of a call, in five classes."""

    OK = "ok"
    TRANSIENT = "transient"  # the same request to the same peer may succeed after a pause
    UNAVAILABLE = "unavailable"  # the peer cannot serve now; try another one
    CANCELLED = "cancelled"  # this side gave up
    UNKNOWN = "unknown"  # an answer, a wrong argument, or an unforeseen error


class Evidence(enum.Enum):
    """The evidence that an error gives about the peer that was called; for breakers."""

    ALIVE = enum.auto()  # only a peer that is alive and reached can say this
    BROKEN = enum.auto()  # no connection, or one that broke during the call
    SILENT = enum.auto()  # no answer in time
    NONE = enum.auto()  # nothing was sent, or the cause is on this side


class Meaning(NamedTuple):
    """A row of the table.

    Attributes:
        code: the name of the gRPC status code that carries it.
        status: its class.
        evidence: its evidence about the peer, for breakers.
        travels: it arrives in another process as the same error.
    """

    code: str
    status: StatusClass
    evidence: Evidence = Evidence.NONE
    travels: bool = True


_TRANSIENT, _UNAVAILABLE = StatusClass.TRANSIENT, StatusClass.UNAVAILABLE
_CANCELLED, _UNKNOWN = StatusClass.CANCELLED, StatusClass.UNKNOWN
_ALIVE, _BROKEN, _SILENT, _NONE = Evidence

TABLE: dict[type[BaseException], Meaning] = {
    # The receiving peer refused: it does not take the request now, or no longer has the name.
    NotDelivered: Meaning("UNAVAILABLE", _TRANSIENT, travels=False),
    ReceiverBusy: Meaning("RESOURCE_EXHAUSTED", _TRANSIENT, _ALIVE),  # a full queue empties
    MailboxClosed: Meaning("UNAVAILABLE", _TRANSIENT, _ALIVE),  # the name may be taken again
    OnStartFailed: Meaning("UNKNOWN", _UNKNOWN, _ALIVE),  # as a factory that failed
    StaleEpoch: Meaning("FAILED_PRECONDITION", _TRANSIENT, _ALIVE),  # resolve the name again
    UnknownMailbox: Meaning("NOT_FOUND", _TRANSIENT, _ALIVE),  # likewise
    PeerBusy: Meaning("RESOURCE_EXHAUSTED", _TRANSIENT, _ALIVE),  # others will be whole soon
    PeerNotServing: Meaning("UNAVAILABLE", _TRANSIENT, _ALIVE),  # it starts, drains or rejoins
    PeerFull: Meaning("RESOURCE_EXHAUSTED", _UNAVAILABLE, _ALIVE),  # another one may have room
    Filtered: Meaning("PERMISSION_DENIED", _UNKNOWN),
    # Nothing was sent, because no peer was found or reached.
    UnregisteredMailbox: Meaning("NOT_FOUND", _UNAVAILABLE, travels=False),
    NotPlaced: Meaning("UNAVAILABLE", _UNAVAILABLE, travels=False),
    PeerUnreachable: Meaning("UNAVAILABLE", _UNAVAILABLE, _BROKEN),
    # One side has to be changed, and says nothing of whether the peer is alive.
    SecurityError: Meaning("FAILED_PRECONDITION", _UNKNOWN),
    TlsRequired: Meaning("FAILED_PRECONDITION", _UNKNOWN),
    TlsNotOffered: Meaning("FAILED_PRECONDITION", _UNKNOWN),
    PeerNotTrusted: Meaning("FAILED_PRECONDITION", _UNKNOWN),
    ClientNotTrusted: Meaning("UNAUTHENTICATED", _UNKNOWN),
    TokenRefused: Meaning("UNAUTHENTICATED", _UNKNOWN),
    BreakerOpen: Meaning("UNAVAILABLE", _UNAVAILABLE, travels=False),  # transient if half open
    # Sent, and no answer: the peer may well be alive.
    OutcomeUnknown: Meaning("ABORTED", _TRANSIENT, _BROKEN),
    RequestDropped: Meaning("ABORTED", _TRANSIENT, _ALIVE),
    DeadlineExceeded: Meaning("DEADLINE_EXCEEDED", _TRANSIENT, _SILENT),
    # The receiver answered.
    RequestFailed: Meaning("UNKNOWN", _UNKNOWN, _ALIVE),  # its own code says more: `status_of`
    UnknownMessageType: Meaning("UNIMPLEMENTED", _UNKNOWN, _ALIVE),
    UndecodableMessage: Meaning("INVALID_ARGUMENT", _UNKNOWN, _ALIVE),
    ActorStartFailed: Meaning("UNKNOWN", _UNKNOWN, _ALIVE, travels=False),
    UnknownActorType: Meaning("NOT_FOUND", _UNKNOWN, _ALIVE),
    FactoryFailed: Meaning("UNKNOWN", _UNKNOWN, _ALIVE),
    NilActor: Meaning("UNKNOWN", _UNKNOWN, _ALIVE),
    UnknownActor: Meaning("NOT_FOUND", _UNKNOWN, _ALIVE),
    ActorStillRunning: Meaning("DEADLINE_EXCEEDED", _TRANSIENT, _ALIVE),
    StreamClosed: Meaning("CANCELLED", _UNKNOWN),
    ActorEnded: Meaning("CANCELLED", _UNKNOWN),
    # Arguments and messages that are refused.
    InvalidName: Meaning("INVALID_ARGUMENT", _UNKNOWN),
    InvalidNamespace: Meaning("INVALID_ARGUMENT", _UNKNOWN),
    InvalidActorType: Meaning("INVALID_ARGUMENT", _UNKNOWN),
    InvalidArgument: Meaning("INVALID_ARGUMENT", _UNKNOWN),
    InvalidAddress: Meaning("INVALID_ARGUMENT", _UNKNOWN, travels=False),
    UnspecifiedAddress: Meaning("INVALID_ARGUMENT", _UNKNOWN, travels=False),
    UnsupportedMessage: Meaning("INVALID_ARGUMENT", _UNKNOWN),
    MessageTooLarge: Meaning("RESOURCE_EXHAUSTED", _UNKNOWN),
    UnexpectedReply: Meaning("INTERNAL", _UNKNOWN, travels=False),
    StreamsUnsupported: Meaning("UNIMPLEMENTED", _UNKNOWN, travels=False),
    AlreadyResponded: Meaning("FAILED_PRECONDITION", _UNKNOWN, travels=False),
    WrongEventLoop: Meaning("FAILED_PRECONDITION", _UNKNOWN, travels=False),
    CannotRunHere: Meaning("FAILED_PRECONDITION", _UNKNOWN, travels=False),
    ForkedProcess: Meaning("FAILED_PRECONDITION", _UNKNOWN, travels=False),
    IncompleteBroadcast: Meaning("UNKNOWN", _UNKNOWN, travels=False),
    # Names, addresses and leases.
    AlreadyRegistered: Meaning("ALREADY_EXISTS", _UNKNOWN),
    AddressInUse: Meaning("ALREADY_EXISTS", _UNKNOWN, travels=False),
    AddressLocked: Meaning("ALREADY_EXISTS", _TRANSIENT, travels=False),
    LeaseTooShort: Meaning("INVALID_ARGUMENT", _UNKNOWN, travels=False),
    LeaseLost: Meaning("UNAVAILABLE", _UNAVAILABLE),  # may be this peer's own: shows nothing
    # States of actors.
    StateFenced: Meaning("ABORTED", _UNKNOWN, _ALIVE),
    StateTooLarge: Meaning("RESOURCE_EXHAUSTED", _UNKNOWN),
    StoreUnavailable: Meaning("UNAVAILABLE", _TRANSIENT, _ALIVE),
    UnexpectedState: Meaning("FAILED_PRECONDITION", _UNKNOWN, _ALIVE),
    # etcd.
    EtcdError: Meaning("UNKNOWN", _UNKNOWN),
    EtcdUnavailable: Meaning("UNAVAILABLE", _UNAVAILABLE),
    EtcdAuthFailed: Meaning("UNAUTHENTICATED", _UNKNOWN),
    EtcdPermissionDenied: Meaning("PERMISSION_DENIED", _UNKNOWN),
    EtcdOutOfSpace: Meaning("RESOURCE_EXHAUSTED", _TRANSIENT),
    EtcdRequestTooLarge: Meaning("RESOURCE_EXHAUSTED", _UNKNOWN),
    EtcdCompacted: Meaning("OUT_OF_RANGE", _UNKNOWN),
    EmbeddedEtcdFailed: Meaning("UNAVAILABLE", _UNKNOWN, travels=False),
    # This side ended first.
    ClientClosed: Meaning("CANCELLED", _CANCELLED, travels=False),
    ServerNotRunning: Meaning("CANCELLED", _CANCELLED, travels=False),
    asyncio.CancelledError: Meaning("CANCELLED", _CANCELLED, travels=False),
    concurrent.futures.CancelledError: Meaning("CANCELLED", _CANCELLED, travels=False),
    # Errors of Python, as causes of others.
    TimeoutError: Meaning("DEADLINE_EXCEEDED", _TRANSIENT, _SILENT, travels=False),
    EOFError: Meaning("UNAVAILABLE", _TRANSIENT, _BROKEN, travels=False),
    ConnectionResetError: Meaning("UNAVAILABLE", _TRANSIENT, _BROKEN, travels=False),
    ConnectionAbortedError: Meaning("UNAVAILABLE", _TRANSIENT, _BROKEN, travels=False),
    BrokenPipeError: Meaning("UNAVAILABLE", _TRANSIENT, _BROKEN, travels=False),
    OSError: Meaning("UNAVAILABLE", _UNAVAILABLE, _BROKEN, travels=False),  # refused, no route
}


def meaning(cls: type[BaseException]) -> tuple[type[BaseException], Meaning] | None:
    """The nearest listed class that `cls` is or derives from, and its row."""
    for base in cls.__mro__:
        row = TABLE.get(base)
        if row is not None:
            return base, row
    return None


def is_from_actor(error: GridError) -> bool:
    """True if an actor answered with the error, and not the grid."""
    found = meaning(type(error))
    return found is not None and found[0] is RequestFailed


def mark_of_request(error: GridError) -> GridError:
    """The error itself, marked as one of a request that an owner answers; see `is_of_request`."""
    error.__dict__["_of_request"] = True
    return error


def is_of_request(error: BaseException) -> bool:
    """True if the error concerns one request or stream that an owner answers, and nothing else.

    Its caller may have brought it about, so it must not end the owner.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_of_request, error.exceptions))
    return isinstance(error, GridError) and "_of_request" in error.__dict__


def from_actor(error: BaseException | str, code: object = "UNKNOWN") -> RequestFailed:
    """The error that callers get when an actor fails a request with `error`.

    Args:
        error: the reason. An exception becomes the `__cause__` of the result.
        code: the gRPC status code: a name, a number, or a member of `grpc.StatusCode`.
            An error of the grid has a code of its own.
    """
    if isinstance(error, type) and issubclass(error, BaseException):
        error = error.__name__  # `raise` takes a class, too
    if not isinstance(error, BaseException):
        return RequestFailed(error if isinstance(error, str) else repr(error), code)
    if isinstance(error, RequestFailed) and is_from_actor(error):
        return error
    found = meaning(type(error)) if isinstance(error, GridError) else None
    failed = RequestFailed(text_of(error), code if found is None else found[1].code)
    failed.__cause__ = error
    return failed
