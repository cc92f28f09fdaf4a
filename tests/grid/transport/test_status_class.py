"""Errors have classes, and few of them tell against a peer."""

import asyncio
import concurrent.futures
import socket

import pytest

from grid import errors
from grid.transport.error_class import (
    StatusClass,
    classify,
    counts_as_failure,
    counts_as_success,
)

OK, TRANSIENT, UNAVAILABLE, CANCELLED, UNKNOWN = StatusClass
SUCCESS, NEUTRAL, FAILURE = "success", "neutral", "failure"

# What a call ended with, its class, and how a breaker takes it.
TABLE: list[tuple[BaseException | None, StatusClass, str]] = [
    (None, OK, SUCCESS),
    # No answer.
    (errors.DeadlineExceeded("request", 1), TRANSIENT, FAILURE),
    (errors.OutcomeUnknown("the connection broke"), TRANSIENT, FAILURE),
    (TimeoutError(), TRANSIENT, FAILURE),
    (EOFError(), TRANSIENT, FAILURE),
    (asyncio.IncompleteReadError(b"", 4), TRANSIENT, FAILURE),
    (ConnectionResetError(), TRANSIENT, FAILURE),
    (ConnectionAbortedError(), TRANSIENT, FAILURE),
    (BrokenPipeError(), TRANSIENT, FAILURE),
    # Nobody there.
    (errors.PeerUnreachable("h:1", "refused"), UNAVAILABLE, FAILURE),
    (ConnectionRefusedError(), UNAVAILABLE, FAILURE),
    (socket.gaierror(), UNAVAILABLE, FAILURE),
    (OSError(113, "no route to host"), UNAVAILABLE, FAILURE),
    (errors.UnregisteredMailbox("m"), UNAVAILABLE, NEUTRAL),
    (errors.LeaseLost(), UNAVAILABLE, NEUTRAL),
    (errors.EtcdUnavailable("no endpoint"), UNAVAILABLE, NEUTRAL),
    # The breaker's own refusals.
    (errors.BreakerOpen("h:1", "open", 5), UNAVAILABLE, NEUTRAL),
    (errors.BreakerOpen("h:1", "half_open"), TRANSIENT, NEUTRAL),
    # The peer answers that not now, or not here.
    (errors.ReceiverBusy("m", 4), TRANSIENT, SUCCESS),
    (errors.MailboxClosed("m"), TRANSIENT, SUCCESS),
    (errors.UnknownMailbox("m"), TRANSIENT, SUCCESS),
    (errors.StaleEpoch("m", 1, 2), TRANSIENT, SUCCESS),
    (errors.PeerBusy(5), TRANSIENT, SUCCESS),
    (errors.PeerNotServing("p", "draining"), TRANSIENT, SUCCESS),
    (errors.RequestDropped("m"), TRANSIENT, SUCCESS),
    (errors.ActorStillRunning("a"), TRANSIENT, SUCCESS),
    # Its actor answers with an error.
    (errors.RequestFailed("out of stock"), UNKNOWN, SUCCESS),
    (errors.RequestFailed("no such item", "NOT_FOUND"), UNKNOWN, SUCCESS),
    (errors.RequestFailed("warming up", "UNAVAILABLE"), TRANSIENT, SUCCESS),
    (errors.RequestFailed("quota", "RESOURCE_EXHAUSTED"), TRANSIENT, SUCCESS),
    (errors.RequestFailed("conflict", "ABORTED"), TRANSIENT, SUCCESS),
    (errors.RequestFailed("too slow", "DEADLINE_EXCEEDED"), TRANSIENT, SUCCESS),
    (errors.RequestFailed("stopped", "CANCELLED"), CANCELLED, SUCCESS),
    (errors.UnknownMessageType("x.Y"), UNKNOWN, SUCCESS),
    (errors.UndecodableMessage("x.Y"), UNKNOWN, SUCCESS),
    (errors.UnknownActorType("t"), UNKNOWN, SUCCESS),
    (errors.FactoryFailed("ValueError"), UNKNOWN, SUCCESS),
    (errors.UnknownActor("a"), UNKNOWN, SUCCESS),
    # This side gave up.
    (asyncio.CancelledError(), CANCELLED, NEUTRAL),
    (concurrent.futures.CancelledError(), CANCELLED, NEUTRAL),
    (errors.ClientClosed(), CANCELLED, NEUTRAL),
    (errors.ServerNotRunning(), CANCELLED, NEUTRAL),
    # A filter of either side.
    (errors.Filtered("m", "sender"), UNKNOWN, NEUTRAL),
    # Refused on this side, or nothing to do with a peer.
    (errors.InvalidName("a b"), UNKNOWN, NEUTRAL),
    (errors.InvalidArgument("timeout", -1, "0 or more"), UNKNOWN, NEUTRAL),
    (errors.MessageTooLarge(5, 4), UNKNOWN, NEUTRAL),
    (errors.UnsupportedMessage("str"), UNKNOWN, NEUTRAL),
    (errors.AlreadyRegistered("ns.actor.a"), UNKNOWN, NEUTRAL),
    (errors.AddressInUse("h:1"), UNKNOWN, NEUTRAL),
    (errors.AddressLocked("h:1"), TRANSIENT, NEUTRAL),
    (errors.EtcdOutOfSpace("quota"), TRANSIENT, NEUTRAL),
    (errors.EtcdAuthFailed("password"), UNKNOWN, NEUTRAL),
    (ValueError("bad"), UNKNOWN, NEUTRAL),
    (KeyboardInterrupt(), UNKNOWN, NEUTRAL),
]


class Wrapped(Exception):
    """A user's own error."""


def caused_by(error: BaseException | None, times: int = 1) -> BaseException | None:
    """The error as the cause of others, as `raise Wrapped from error` makes it."""
    for _ in range(times if error else 0):
        outer = Wrapped()
        outer.__cause__ = error
        error = outer
    return error


def verdict(error: BaseException | None) -> str:
    verdicts = {FAILURE: counts_as_failure(error), SUCCESS: counts_as_success(error)}
    return next((name for name, holds in verdicts.items() if holds), NEUTRAL)


@pytest.mark.parametrize("wrappings", [0, 1, 3])
@pytest.mark.parametrize(
    ("error", "status", "counts_as"), TABLE, ids=[repr(error) for error, _, _ in TABLE]
)
def test_an_error_is_classed_also_when_wrapped(
    error: BaseException | None, status: StatusClass, counts_as: str, wrappings: int
) -> None:
    wrapped = caused_by(error, wrappings)
    assert classify(wrapped) is status
    assert verdict(wrapped) == counts_as


@pytest.mark.parametrize("error", [error for error, _, _ in TABLE], ids=repr)
def test_nothing_counts_as_both(error: BaseException | None) -> None:
    assert not (counts_as_failure(error) and counts_as_success(error))


@pytest.mark.parametrize(
    "error", [errors.DeadlineExceeded("request", 1), TimeoutError(), caused_by(TimeoutError())]
)
def test_a_deadline_does_not_tell_against_a_peer_that_was_heard(error: BaseException) -> None:
    assert counts_as_failure(error)
    assert not counts_as_failure(error, heard=True)


@pytest.mark.parametrize(
    "error", [errors.OutcomeUnknown("reset"), errors.PeerUnreachable("h:1", "refused"), EOFError()]
)
def test_a_broken_connection_does_even_then(error: BaseException) -> None:
    assert counts_as_failure(error, heard=True)


def test_what_an_error_says_itself_goes_before_its_cause() -> None:
    error = errors.ReceiverBusy("m")
    error.__cause__ = errors.PeerUnreachable("h:1", "refused")
    assert (classify(error), verdict(error)) == (TRANSIENT, SUCCESS)
    answer = errors.FactoryFailed("OSError")
    answer.__cause__ = OSError()
    assert (classify(answer), verdict(answer)) == (UNKNOWN, SUCCESS)


def test_what_merely_came_before_is_no_cause() -> None:
    error = Wrapped()
    error.__context__ = ConnectionResetError()
    assert (classify(error), verdict(error)) == (UNKNOWN, NEUTRAL)


def test_causes_in_a_ring_end() -> None:
    one, other = Wrapped(), Wrapped()
    one.__cause__, other.__cause__ = other, one
    assert (classify(one), verdict(one)) == (UNKNOWN, NEUTRAL)
