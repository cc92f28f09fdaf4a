"""The meaning of an error for the next call, and for the breaker of its peer.

`classify` is for logs, metrics and code that chooses where to send next. `counts_as_failure`
and `counts_as_success` are for a breaker, which guards one address and must not open because
a caller gave up or an actor refused: an error that is neither is settled as neutral.

The table is `grid.errors.classification`. An error that it does not list, such as a user's
own, stands for its cause (`raise ... from`), and so on along the chain; the first listed
error decides.
"""

from __future__ import annotations

from grid.errors import BreakerOpen, RequestFailed
from grid.errors.classification import Evidence, Meaning, StatusClass, meaning

__all__ = ["StatusClass", "classify", "counts_as_failure", "counts_as_success"]

# A receiver that answers with one of these codes says it of itself.
_CODES = {
    "UNAVAILABLE": StatusClass.TRANSIENT,
    "RESOURCE_EXHAUSTED": StatusClass.TRANSIENT,
    "ABORTED": StatusClass.TRANSIENT,
    "DEADLINE_EXCEEDED": StatusClass.TRANSIENT,
    "CANCELLED": StatusClass.CANCELLED,
}

_UNLISTED = Meaning("UNKNOWN", StatusClass.UNKNOWN, travels=False)
_LONGEST_CHAIN = 32  # causes can form a ring


def classify(error: BaseException | None) -> StatusClass:
    """The class of the outcome of a call; None is a success. Never raises."""
    if error is None:
        return StatusClass.OK
    decisive, row = _decisive(error)
    if isinstance(decisive, BreakerOpen) and decisive.state != "open":
        return StatusClass.TRANSIENT
    if isinstance(decisive, RequestFailed):
        return _CODES.get(decisive.code, StatusClass.UNKNOWN)
    return row.status


def counts_as_failure(error: BaseException | None, *, heard: bool = False) -> bool:
    """True if a breaker counts the error against the peer.

    Failures are: no connection could be made; the connection broke before the answer, so
    that the outcome is unknown; no answer came in time from a peer that sent nothing at all.

    No failures are: a cancellation, and the end of this client; a refusal on this
    side, so that nothing was sent; anything that the peer answered, such as an error of its
    actor, a full mailbox, or that it is draining; and an unforeseen error.

    Args:
        error: the error that this side found. An error that the peer answered with is a success and
            is not to be judged by this.
        heard: True if anything came from the peer while the call was under way. A deadline
            that passed then tells of a slow actor and not of a dead peer.
    """
    if error is None:
        return False
    evidence = _decisive(error)[1].evidence
    if evidence is Evidence.SILENT:
        return not heard
    return evidence is Evidence.BROKEN


def counts_as_success(error: BaseException | None) -> bool:
    """True if the outcome shows a breaker that the peer is well: a reply, or the peer's error.

    An actor's refusal counts; otherwise a peer whose actors refuse would never be found to
    be back.
    """
    return error is None or _decisive(error)[1].evidence is Evidence.ALIVE


def _decisive(error: BaseException) -> tuple[BaseException, Meaning]:
    """The first error along the chain of causes that the table lists, and its row."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            break
        found = meaning(type(link))
        if found is not None:
            return link, found[1]
        link = link.__cause__
    return error, _UNLISTED
