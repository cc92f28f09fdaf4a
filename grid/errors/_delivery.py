"""The ends of a request."""

from __future__ import annotations

from typing import Any

from grid.errors._base import GridError, Retryable
from grid.errors.codes import code_name

__all__ = [
    "ActorEnded",
    "BreakerOpen",
    "DeadlineExceeded",
    "Filtered",
    "MailboxClosed",
    "NotDelivered",
    "NotPlaced",
    "OnStartFailed",
    "OutcomeUnknown",
    "PeerBusy",
    "PeerFull",
    "PeerNotServing",
    "PeerUnreachable",
    "ReceiverBusy",
    "RequestDropped",
    "RequestFailed",
    "StaleEpoch",
    "StreamClosed",
    "StreamsUnsupported",
    "UndecodableMessage",
    "UnknownMailbox",
    "UnknownMessageType",
    "UnregisteredMailbox",
]


_MOST_REFUSALS = 8  # that a text names


class NotDelivered(Retryable):
    """No actor saw the request: a resend is safe."""


class UnknownMailbox(NotDelivered):
    """The peer that the name led to does not have the mailbox."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(f"grid: unknown mailbox: {name!r}", name=name)


class UnregisteredMailbox(UnknownMailbox):
    """No live process holds the name. Start its owner, or check name and namespace.

    Attributes:
        between_owners: True if it had an owner seconds ago, so that another may take it now.
    """

    namespace: str
    between_owners: bool

    def __init__(self, name: str, namespace: str = "", between_owners: bool = False) -> None:
        where = f" in namespace {namespace!r}" if namespace else ""
        NotDelivered.__init__(
            self,
            f"grid: unregistered mailbox: {name!r}{where}",
            name=name,
            namespace=namespace,
            between_owners=between_owners,
        )


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
    """The mailbox closed before its owner read the request.

    Attributes:
        reason: what its actor ended by, if that was an error.
    """

    name: str
    reason: str = ""

    def __init__(self, name: str, reason: str = "") -> None:
        because = f": its actor ended by {reason}" if reason else ""
        # A reason only where there is one: older receivers take the error without it.
        told = {"reason": reason} if reason else {}
        super().__init__(f"grid: receiver busy: {name!r} closed{because}", name=name, **told)


class OnStartFailed(MailboxClosed):
    """The actor, which the request had started, failed in `on_start`; no actor saw the request.

    Or elsewhere before it read a request. A resend starts it again, and is safe, but would most
    likely end the same way; so nothing is sent again. One whose error is retryable is
    `MailboxClosed` instead.
    """

    retryable = False


class StaleEpoch(NotDelivered):
    """The name was registered again after the sender resolved it."""

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


class PeerBusy(NotDelivered):
    """The peer has no memory left for the large message now. Send it again later.

    A peer bounds the bytes of all messages that have begun to arrive.

    Attributes:
        size: of the message, in bytes.
    """

    size: int

    def __init__(self, size: int) -> None:
        super().__init__(
            f"grid: receiver busy: the peer has no room for {size} more bytes of messages that "
            "have begun to arrive",
            size=size,
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
    """No connection to the peer could be made; it may have died just now.

    If it has, its names are free once its lease is over; the error of a client says when.
    """

    address: str
    reason: str

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"peer at {address} unreachable: {reason}", address=address, reason=reason)


class PeerFull(NotDelivered):
    """The peer runs as many actors as it has slots for; start the actor on another one.

    Attributes:
        peer: the peer's name.
        slots: actors that it runs at most.
    """

    retryable = False
    peer: str
    slots: int

    def __init__(self, peer: str, slots: int) -> None:
        super().__init__(
            f"grid: peer {peer!r} has no free slot of its {slots}", peer=peer, slots=slots
        )


class NotPlaced(NotDelivered):
    """No peer takes the actor; it runs nowhere.

    Attributes:
        name: of the actor.
        refusals: why each peer does not, by its name: its error, or what it lacks.
        asked: some peer that may have it was asked; if none was, starting it again helps only
            after the peers have changed.
    """

    name: str
    refusals: dict[str, str]
    asked: bool

    def __init__(self, name: str, refusals: dict[str, str], *, asked: bool = True) -> None:
        named = list(refusals.items())[:_MOST_REFUSALS]
        told = "; ".join(f"{peer}: {error}" for peer, error in named)
        if len(refusals) > len(named):
            told += f"; and {len(refusals) - len(named)} more"
        super().__init__(
            f"grid: no peer takes the actor {name!r}: {told}",
            name=name,
            refusals=refusals,
            asked=asked,
        )


class Filtered(NotDelivered):
    """A filter said no: it was skipped, as the same would be if it were sent again.

    Attributes:
        name: the mailbox it was for.
        side: `sender` or `receiver`: whose filter it was.
    """

    retryable = False
    name: str
    side: str

    def __init__(self, name: str, side: str = "receiver") -> None:
        super().__init__(
            f"grid: skipped by a filter of the {side}: message to {name!r}", name=name, side=side
        )


class OutcomeUnknown(GridError):
    """The request was sent, and no answer will come.

    The receiver may have acted on it. Send it again only if that does no harm.
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
        super().__init__(
            f"{what}: no answer within {round(seconds, 3):g} s", what=what, seconds=seconds
        )


class RequestFailed(GridError):
    """The receiver answered with an error of its own. It acted on the request: no resend is safe.

    If the receiver failed with an error of the grid, which it met elsewhere, that error is the
    `cause`.

    Attributes:
        text: the receiver's text.
        code: the gRPC status code's name, `UNKNOWN` unless the receiver chose one. It may
            be given as a name, a number, or a member of `grpc.StatusCode`.
    """

    text: str
    code: str

    def __init__(self, text: str, code: object = "UNKNOWN") -> None:
        super().__init__(text, text=text, code=code_name(code))

    @property
    def cause(self) -> GridError | None:
        """The error of the grid that the receiver failed with, if it was one."""
        cause = self.__cause__
        return cause if isinstance(cause, GridError) else None


class UnknownMessageType(RequestFailed):
    """The receiver does not know the type: register it there, or import its module."""

    type_name: str

    def __init__(self, type_name: str) -> None:
        GridError.__init__(
            self, f"codec: unregistered message type: {type_name!r}", type_name=type_name
        )
        self.text: str = str(self)
        self.code: str = "UNIMPLEMENTED"

    def attributes(self) -> dict[str, Any]:
        return {"type_name": self.type_name}


class UndecodableMessage(RequestFailed):
    """The payload is not an encoding of the type it names."""

    type_name: str
    reason: str

    def __init__(self, type_name: str, reason: str = "") -> None:
        because = f": {reason}" if reason else ""
        GridError.__init__(
            self,
            f"proto: cannot parse the payload as {type_name!r}{because}",
            type_name=type_name,
            reason=reason,
        )
        self.text: str = str(self)
        self.code: str = "INVALID_ARGUMENT"

    def attributes(self) -> dict[str, Any]:
        # Without a reason as peers of an older version know it.
        reason = {"reason": self.reason} if self.reason else {}
        return {"type_name": self.type_name, **reason}


class BreakerOpen(NotDelivered):
    """Calls to the address failed one after another, and it is left alone for a while.

    Nothing was sent. Try again after `retry_in`, or go to another peer.

    Attributes:
        address: where nothing is sent to.
        state: `open`, or `half_open` when as many calls as are allowed try it out.
        retry_in: seconds until a call may be let through; 0 in `half_open`: as
            soon as one of those under way ends.
    """

    address: str
    state: str
    retry_in: float

    def __init__(self, address: str, state: str = "open", retry_in: float = 0.0) -> None:
        when = f"in {round(retry_in, 3):g} s" if state == "open" else "when a probe ends"
        super().__init__(
            f"peer at {address} is not called: breaker {state}, next try {when}",
            address=address,
            state=state,
            retry_in=retry_in,
        )


class StreamClosed(GridError):
    """The stream is over in the direction that was to be used.

    Attributes:
        reason: the reason given by the side that closed it.
    """

    reason: str

    def __init__(self, reason: str = "") -> None:
        text = "the stream is closed" + (f": {reason}" if reason else "")
        super().__init__(text, reason=reason)


class ActorEnded(StreamClosed):
    """The stream is over because its actor has ended, be it to start on another peer."""

    def __init__(self, reason: str = "the actor has ended") -> None:
        super().__init__(reason)


class StreamsUnsupported(GridError):
    """The peer has no sessions, as Go peers have none, and so no streams."""

    address: str

    def __init__(self, address: str) -> None:
        super().__init__(f"peer at {address} has no streams: use requests", address=address)
