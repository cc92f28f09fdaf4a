"""Every error a user of the grid can meet, named by its cause.

    GridError
    ├── InvalidName                 a name breaks the rule (caller)
    │   ├── InvalidNamespace
    │   └── InvalidActorType
    ├── InvalidAddress              an address cannot be listened on or dialled (caller)
    │   └── UnspecifiedAddress      0.0.0.0 or [::] without an address to advertise
    ├── UnsupportedMessage          not a protobuf message (caller)
    ├── MessageTooLarge             over the size limit; refused before the wire (caller)
    ├── UnexpectedReply             the reply is not of the type asked for (caller or receiver)
    ├── ClientClosed                the client was closed (caller)
    ├── ServerNotRunning            the server is not started, or stopped (caller)
    ├── AlreadyResponded            second answer to one request (receiver)
    ├── LeaseTooShort               a lease below the minimum (caller)
    ├── AddressInUse                the port is taken
    ├── AddressLocked               another process still holds the address in etcd
    ├── AlreadyRegistered           the name has an owner
    ├── LeaseLost                   this peer's lease ended; its names are no longer its own
    ├── NotDelivered                no actor saw the request: a resend is safe
    │   ├── UnknownMailbox          the peer does not have the mailbox
    │   │   └── UnregisteredMailbox the name is not in the registry
    │   ├── ReceiverBusy            the mailbox is full
    │   ├── MailboxClosed           the mailbox closed while the request was queued
    │   ├── StaleEpoch              the name was registered anew since it was resolved
    │   ├── PeerNotServing          the peer is starting, draining, or without a lease
    │   └── PeerUnreachable         no connection to the peer
    ├── OutcomeUnknown              sent, and nobody can tell whether it was acted upon
    │   └── RequestDropped          the receiver had it and ended without an answer
    ├── DeadlineExceeded            no answer in time (also a TimeoutError)
    ├── RequestFailed               the receiver answered with an error of its own
    │   ├── UnknownMessageType      the receiver does not know the message's type
    │   └── UndecodableMessage      the payload is not an encoding of its type
    ├── ActorStartFailed            the actor did not start
    │   ├── UnknownActorType        no definition of that type on the peer
    │   ├── FactoryFailed           the definition's factory raised
    │   └── NilActor                the factory returned no actor
    ├── UnknownActor                no actor of that name runs
    ├── ActorStillRunning           the actor did not end within its grace and a cancellation
    ├── IncompleteBroadcast         some members failed; carries what all of them answered
    └── EtcdError
        ├── EtcdUnavailable         no endpoint answers
        ├── EtcdAuthFailed          user or password refused
        ├── EtcdPermissionDenied    the user may not touch the key
        ├── EtcdOutOfSpace          the quota of etcd is used up
        ├── EtcdCompacted           the revision asked for is gone
        └── EmbeddedEtcdFailed      the embedded etcd did not start

`retryable` says whether sending the same again is safe: True means that no
actor saw the request. Every argument of an error is an attribute of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from grid.broadcast import BroadcastResult

_NAME_RULE = "one or more of a-z A-Z 0-9 - _"


class GridError(Exception):
    """The root of all errors of the grid.

    Attributes:
        retryable: True if a resend is safe, because nothing was acted upon.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.__dict__.update(attributes)

    def attributes(self) -> dict[str, Any]:
        """The arguments that make this error again: `type(e)(**e.attributes())`."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __reduce__(self) -> tuple[Callable[..., GridError], tuple[type[Self], dict[str, Any]]]:
        return _rebuild, (type(self), self.attributes())


def _rebuild(cls: type[GridError], attributes: Mapping[str, Any]) -> GridError:
    if cls is GridError:
        attributes = {"message": "", **attributes}
    return cls(**attributes)


# -- bad input: the caller's to mend ------------------------------------------


class InvalidName(GridError, ValueError):
    """A name breaks the rule of names. Nothing was sent; use another name."""

    name: str
    kind: str

    def __init__(self, name: str, kind: str = "name") -> None:
        super().__init__(
            f"grid: invalid {self._what(kind)}: {name!r} must be {_NAME_RULE}", name=name, kind=kind
        )

    def _what(self, kind: str) -> str:
        return "mailbox name" if kind == "mailbox" else "name"


class InvalidNamespace(InvalidName):
    """A namespace breaks the rule of names."""

    def __init__(self, name: str, kind: str = "namespace") -> None:
        super().__init__(name, kind)

    def _what(self, kind: str) -> str:
        return "namespace"


class InvalidActorType(InvalidName):
    """An actor type breaks the rule of names."""

    def __init__(self, name: str, kind: str = "type") -> None:
        super().__init__(name, kind)

    def _what(self, kind: str) -> str:
        return "actor type"


class InvalidAddress(GridError, ValueError):
    """An address is not `host:port`, or cannot be bound. Correct it."""

    address: str
    reason: str

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"address {address!r}: {reason}", address=address, reason=reason)


class UnspecifiedAddress(InvalidAddress):
    """Listening on every interface tells nobody where to dial: pass `advertise`."""

    def __init__(self, address: str, reason: str = "") -> None:
        super().__init__(
            address,
            reason
            or "registry: unspecified net address ip: others cannot dial it; give the address to "
            'advertise as well, or advertise="auto"',
        )


class UnsupportedMessage(GridError, TypeError):
    """What was given is not a protobuf message (class). Nothing was sent."""

    type_name: str

    def __init__(self, type_name: str) -> None:
        super().__init__(
            f"codec: unsupported message: {type_name} is not a protobuf message",
            type_name=type_name,
        )


class MessageTooLarge(GridError):
    """A message is over the size limit, of its sender or of its receiver.

    A request that is too large was seen by no actor; if it is the reply, the
    request was acted upon.

    Attributes:
        size: bytes of the message.
        limit: bytes allowed.
    """

    size: int
    limit: int

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"grid: message too large: {size} bytes, the limit is {limit}", size=size, limit=limit
        )


class UnexpectedReply(GridError, TypeError):
    """The receiver answered with another type than the caller asked for.

    The request was acted upon, so a resend may act twice.
    """

    expected: str
    got: str

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected a reply of {expected}, got {got}", expected=expected, got=got)


class ClientClosed(GridError):
    """The client was closed. Make a new one."""

    def __init__(self) -> None:
        super().__init__("grid: the client is closed")


class ServerNotRunning(GridError):
    """The server is not started yet, or was stopped."""

    def __init__(self) -> None:
        super().__init__("grid: server not running")


class AlreadyResponded(GridError):
    """The request has its answer already; the first one stands."""

    def __init__(self) -> None:
        super().__init__("already responded")


# -- names and leases ---------------------------------------------------------


class AddressInUse(GridError, OSError):
    """The port is taken by another process. Choose another, or 0 for any."""

    address: str

    def __init__(self, address: str) -> None:
        super().__init__(
            f"address {address!r} is in use: choose another port, or 0 for a free one",
            address=address,
        )


class AddressLocked(GridError):
    """A peer at this address still holds its lease in etcd.

    It is alive, or it died less than its lease ago: try again later, or take
    another address.
    """

    address: str

    def __init__(self, address: str) -> None:
        super().__init__(
            f"registry: address lock exists after timeout: another peer holds {address}",
            address=address,
        )


class LeaseTooShort(GridError, ValueError):
    """etcd cannot keep so short a lease apart from a pause; ask for more.

    Attributes:
        seconds: what was asked for.
        minimum: the least that is accepted, in seconds.
    """

    seconds: float
    minimum: float

    def __init__(self, seconds: float, minimum: float) -> None:
        super().__init__(
            f"registry: lease duration too short: {seconds:g} s, the minimum is {minimum:g} s",
            seconds=seconds,
            minimum=minimum,
        )


class AlreadyRegistered(GridError):
    """The name has an owner, which keeps it. Nothing was changed.

    Attributes:
        key: the full name in etcd.
        peer: the name of the owner's peer ("" if unknown).
        address: where the owner is.
        epoch: the owner's epoch (0 if unknown).
    """

    key: str
    peer: str
    address: str
    epoch: int

    def __init__(self, key: str, peer: str = "", address: str = "", epoch: int = 0) -> None:
        _, _, kind_and_name = key.partition(".")
        kind, _, name = kind_and_name.partition(".")
        owner = f" by peer {peer!r} at {address}, epoch {epoch}" if peer else ""
        super().__init__(
            f'registering {kind} "{key}": registry: already registered: '
            f"{kind} {name!r} is held{owner}",
            key=key,
            peer=peer,
            address=address,
            epoch=epoch,
        )


class LeaseLost(GridError):
    """This peer's lease ended, so its names may belong to others by now.

    Actors are cancelled with this as the reason; the peer rejoins under a new
    lease unless its policy is to exit.
    """

    reason: str

    def __init__(self, reason: str = "the lease ended") -> None:
        super().__init__(f"registry: lease lost: {reason}", reason=reason)


# -- delivery -----------------------------------------------------------------


class NotDelivered(GridError):
    """No actor saw the request: a resend is safe."""

    retryable = True


class UnknownMailbox(NotDelivered):
    """The peer that the name led to does not have the mailbox."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: unknown mailbox: {name!r}", name=name)


class UnregisteredMailbox(UnknownMailbox):
    """No live process holds the name. Start its owner, or check the spelling."""

    def __init__(self, name: str) -> None:
        NotDelivered.__init__(self, f"grid: unregistered mailbox: {name!r}", name=name)


class ReceiverBusy(NotDelivered):
    """The mailbox is full. Send again later, or ask for `wait=True`.

    Attributes:
        size: how many requests the mailbox holds at most (0 if unknown).
    """

    name: str
    size: int

    def __init__(self, name: str, size: int = 0) -> None:
        held = f" holds {size} requests" if size else ""
        super().__init__(f"grid: receiver busy: {name!r}{held}", name=name, size=size)


class MailboxClosed(NotDelivered):
    """The mailbox closed before its owner read the request."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: receiver busy: {name!r} closed", name=name)


class StaleEpoch(NotDelivered):
    """The name was registered anew after the sender resolved it."""

    name: str
    sent: int
    current: int

    def __init__(self, name: str, sent: int, current: int) -> None:
        super().__init__(
            f"grid: unknown mailbox: {name!r} of epoch {sent} is gone, the epoch is {current}",
            name=name,
            sent=sent,
            current=current,
        )


class PeerNotServing(NotDelivered):
    """The peer takes no requests now: it starts, drains, or lost its lease."""

    peer: str
    state: str

    def __init__(self, peer: str, state: str) -> None:
        super().__init__(
            f"grid: receiver busy: peer {peer!r} is {state} and takes no requests",
            peer=peer,
            state=state,
        )


class PeerUnreachable(NotDelivered):
    """No connection to the peer could be made; it may have died just now."""

    address: str
    reason: str

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"peer at {address} unreachable: {reason}", address=address, reason=reason)


class OutcomeUnknown(GridError):
    """The request was sent, and no answer will come.

    The receiver may have acted on it. Send again only what is idempotent.
    """

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(f"grid: outcome unknown: {reason}", reason=reason)


class RequestDropped(OutcomeUnknown):
    """The receiver took the request and ended, or let it go, without an answer."""

    name: str

    def __init__(self, name: str, reason: str = "") -> None:
        super().__init__(reason or f"the owner of {name!r} did not answer")
        self.name = name


class DeadlineExceeded(GridError, TimeoutError):
    """No answer within the caller's time. The receiver may still act on it."""

    what: str
    seconds: float

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: no answer within {seconds:g} s", what=what, seconds=seconds)


class RequestFailed(GridError):
    """The receiver answered with an error of its own.

    Attributes:
        text: what the receiver said.
        code: the gRPC status code's name, `UNKNOWN` unless the receiver chose one.
    """

    text: str
    code: str

    def __init__(self, text: str, code: str = "UNKNOWN") -> None:
        super().__init__(text, text=text, code=code)


class UnknownMessageType(RequestFailed):
    """The receiver does not know the type: register it there, or import its module."""

    type_name: str

    def __init__(self, type_name: str) -> None:
        GridError.__init__(
            self, f"codec: unregistered message type: {type_name!r}", type_name=type_name
        )
        self.text, self.code = str(self), "UNIMPLEMENTED"

    def attributes(self) -> dict[str, Any]:
        return {"type_name": self.type_name}


class UndecodableMessage(RequestFailed):
    """The payload is not an encoding of the type it names."""

    type_name: str

    def __init__(self, type_name: str) -> None:
        GridError.__init__(
            self, f"proto: cannot parse the payload as {type_name!r}", type_name=type_name
        )
        self.text, self.code = str(self), "INVALID_ARGUMENT"

    def attributes(self) -> dict[str, Any]:
        return {"type_name": self.type_name}


# -- actors -------------------------------------------------------------------


class ActorStartFailed(GridError):
    """The actor did not start, and holds no name."""


class UnknownActorType(ActorStartFailed):
    """The peer has no definition of that type."""

    type: str
    offered: list[str]

    def __init__(self, type: str, offered: list[str] | None = None) -> None:  # noqa: A002
        offers = f"; this peer offers {', '.join(offered)}" if offered else ""
        super().__init__(
            f"grid: def not registered: type={type}{offers}", type=type, offered=offered or []
        )


class FactoryFailed(ActorStartFailed):
    """The definition's factory raised; the peer's log has the traceback."""

    text: str

    def __init__(self, text: str) -> None:
        super().__init__(text, text=text)


class NilActor(ActorStartFailed):
    """The definition's factory returned no actor."""

    type: str

    def __init__(self, type: str) -> None:  # noqa: A002
        super().__init__(f"grid: nil actor: the factory of {type!r} returned none", type=type)


class UnknownActor(GridError):
    """No actor of that name runs (there)."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: unknown actor: {name!r}", name=name)


class ActorStillRunning(GridError):
    """The actor ran on past its grace and a cancellation; it keeps its name."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: actor {name!r} still runs after it was cancelled", name=name)


class IncompleteBroadcast(GridError):
    """At least one member failed (with `fastest`: none succeeded).

    Attributes:
        result: what each member answered.
    """

    result: BroadcastResult

    def __init__(self, result: BroadcastResult) -> None:
        failed = [name for name, one in result.items() if one.error is not None]
        super().__init__(
            f"grid: incomplete broadcast: {len(failed)} of {len(result)} failed: "
            + ", ".join(failed[:5])
            + (", ..." if len(failed) > 5 else ""),
            result=result,
        )


# -- etcd ---------------------------------------------------------------------


class EtcdError(GridError):
    """etcd refused, or cannot be had."""

    detail: str

    def __init__(self, detail: str) -> None:
        super().__init__(f"etcd: {detail}", detail=detail)


class EtcdUnavailable(EtcdError):
    """No endpoint answered in time. Start etcd, or correct the endpoints."""

    retryable = True


class EtcdAuthFailed(EtcdError):
    """etcd refused the user or the password, or asks for one."""


class EtcdPermissionDenied(EtcdError):
    """The etcd user may not read or write the key."""


class EtcdOutOfSpace(EtcdError):
    """The quota of etcd is used up: compact and defragment it, then disarm the alarm."""

    retryable = True


class EtcdCompacted(EtcdError):
    """The revision asked for is compacted away; read anew."""

    revision: int

    def __init__(self, revision: int) -> None:
        super().__init__(f"revisions before {revision} are compacted")
        self.revision = revision

    def attributes(self) -> dict[str, Any]:
        return {"revision": self.revision}


class EmbeddedEtcdFailed(EtcdError):
    """The embedded etcd did not start; the text has the end of its log."""
