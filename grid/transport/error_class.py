"""What an error means for the next call: its class, and whether it tells against the peer.

`classify` is for logs, metrics and those who choose where to send next.
`counts_as_failure` and `counts_as_success` are for a breaker, which guards one
address and must not open because a caller gave up or an actor said no: what
neither counts as failure nor as success is settled as neutral.

An error that no table lists, e.g. a user's own, stands for its cause
(`raise ... from`), and so on along the chain; the first listed one decides.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum

from grid import errors

__all__ = ["StatusClass", "classify", "counts_as_failure", "counts_as_success"]


class StatusClass(enum.StrEnum):
    """How a call ended, in five words."""

    OK = "ok"
    TRANSIENT = "transient"  # the same, sent there again after a pause, may succeed
    UNAVAILABLE = "unavailable"  # nothing is to be had there now; look elsewhere
    CANCELLED = "cancelled"  # this side gave up
    UNKNOWN = "unknown"  # an answer, a wrong argument, or what nobody foresaw


_TRANSIENT = StatusClass.TRANSIENT
_UNAVAILABLE = StatusClass.UNAVAILABLE
_CANCELLED = StatusClass.CANCELLED
_UNKNOWN = StatusClass.UNKNOWN

# An error is looked up by its class, then by the classes it derives from, in order.
_CLASSES: dict[type[BaseException], StatusClass] = {
    # No answer, and the peer may well be there.
    errors.DeadlineExceeded: _TRANSIENT,
    errors.OutcomeUnknown: _TRANSIENT,  # the connection broke: reset, or ended
    TimeoutError: _TRANSIENT,
    EOFError: _TRANSIENT,
    ConnectionResetError: _TRANSIENT,
    ConnectionAbortedError: _TRANSIENT,
    BrokenPipeError: _TRANSIENT,
    # The peer is there, and says "not now" or "no longer here".
    errors.NotDelivered: _TRANSIENT,
    errors.ReceiverBusy: _TRANSIENT,  # a full queue empties
    errors.MailboxClosed: _TRANSIENT,  # its owner ended; the name may come up again
    errors.StaleEpoch: _TRANSIENT,  # resolved anew, the name leads to its present owner
    errors.UnknownMailbox: _TRANSIENT,  # likewise
    errors.PeerNotServing: _TRANSIENT,  # it starts, drains, or rejoins
    errors.ActorStillRunning: _TRANSIENT,
    errors.AddressLocked: _TRANSIENT,
    errors.EtcdOutOfSpace: _TRANSIENT,
    # Nobody is there to answer.
    errors.PeerUnreachable: _UNAVAILABLE,
    errors.UnregisteredMailbox: _UNAVAILABLE,
    errors.BreakerOpen: _UNAVAILABLE,  # but transient in half-open: see `classify`
    errors.LeaseLost: _UNAVAILABLE,  # the peer's names are no longer its own
    errors.EtcdUnavailable: _UNAVAILABLE,
    OSError: _UNAVAILABLE,  # no route, refused, no such host: any but the ones above
    # This side ended first.
    errors.ClientClosed: _CANCELLED,
    errors.ServerNotRunning: _CANCELLED,
    asyncio.CancelledError: _CANCELLED,
    concurrent.futures.CancelledError: _CANCELLED,
    # Listed for not being looked through, or not being taken for their second base.
    errors.Filtered: _UNKNOWN,
    errors.RequestFailed: _UNKNOWN,  # but what its code says: see `classify`
    errors.AddressInUse: _UNKNOWN,
    errors.ActorStartFailed: _UNKNOWN,
    errors.UnknownActor: _UNKNOWN,
    errors.EtcdError: _UNKNOWN,
}

# A receiver that answers with one of these codes says it of itself.
_CODES = {
    "UNAVAILABLE": _TRANSIENT,
    "RESOURCE_EXHAUSTED": _TRANSIENT,
    "ABORTED": _TRANSIENT,
    "DEADLINE_EXCEEDED": _TRANSIENT,
    "CANCELLED": _CANCELLED,
}

# No connection, or one that broke under the call.
_BROKEN = (errors.PeerUnreachable, errors.OutcomeUnknown, EOFError, OSError)
# No answer in time; this, too, is an OSError.
_SILENT = (errors.DeadlineExceeded, TimeoutError)
# What only a peer that is alive and reached can say. Not LeaseLost: it may be this peer's own.
_ANSWERS = (
    errors.RequestFailed,
    errors.RequestDropped,
    errors.ReceiverBusy,
    errors.MailboxClosed,
    errors.UnknownMailbox,
    errors.StaleEpoch,
    errors.PeerNotServing,
    errors.ActorStartFailed,
    errors.ActorStillRunning,
    errors.UnknownActor,
)
# What they derive from counts, and they do not: nothing was sent.
_NOT_SENT = (errors.UnregisteredMailbox, errors.AddressInUse)

_LONGEST_CHAIN = 32  # causes can form a ring


def classify(error: BaseException | None) -> StatusClass:
    """The class of what a call ended with; None is a success. Never raises."""
    if error is None:
        return StatusClass.OK
    told, status = _decisive(error)
    if isinstance(told, errors.BreakerOpen) and told.state != "open":
        return _TRANSIENT
    if isinstance(told, errors.RequestFailed):
        return _CODES.get(told.code, _UNKNOWN)
    return status


def counts_as_failure(error: BaseException | None, *, heard: bool = False) -> bool:
    """True if a breaker counts it against the peer.

    These do: no connection could be made; the connection broke before the
    answer, so that the outcome is unknown; no answer came in time from a peer
    that said nothing at all.

    These do not: a cancellation, and the end of this client; what was refused
    on this side, so that nothing was sent; anything that the peer answered,
    such as an error of its actor, a full mailbox, or that it is draining; and
    what nobody foresaw.

    Args:
        error: what this side found. An error that came from the peer as its
            answer is not to be judged by this: to have it is a success.
        heard: anything came from the peer while the call was under way. Then a
            deadline that passed tells of a slow actor and not of a dead peer.
    """
    if error is None:
        return False
    told, _ = _decisive(error)
    if isinstance(told, (*_ANSWERS, *_NOT_SENT)):
        return False
    if isinstance(told, _SILENT):
        return not heard
    return isinstance(told, _BROKEN)


def counts_as_success(error: BaseException | None) -> bool:
    """True if it shows a breaker that the peer is well: a reply, or an error only it can say.

    An actor's refusal counts, or a peer whose actors refuse would never be
    found to be back.
    """
    if error is None:
        return True
    told, _ = _decisive(error)
    return isinstance(told, _ANSWERS) and not isinstance(told, _NOT_SENT)


def _decisive(error: BaseException) -> tuple[BaseException, StatusClass]:
    """The first error along the chain of causes that the table lists, and its class there."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            break
        for cls in type(link).__mro__:
            if cls in _CLASSES:
                return link, _CLASSES[cls]
        link = link.__cause__
    return error, _UNKNOWN
