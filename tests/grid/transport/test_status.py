"""An error is the same error after its way over the wire."""

import grpc
import pytest

from grid import errors
from grid.errors import GridError
from grid.transport.error_codec import decode_error, encode_error

ERRORS = [
    errors.InvalidName("a b", "actor"),
    errors.InvalidNamespace("a b"),
    errors.InvalidActorType("a b"),
    errors.UnsupportedMessage("str"),
    errors.UndecodableMessage("x.Y"),
    errors.UnknownMessageType("x.Y"),
    errors.MessageTooLarge(5, 4),
    errors.UnknownMailbox("ns.mailbox.m"),
    errors.StaleEpoch("ns.mailbox.m", 3, 5),
    errors.ReceiverBusy("m", 4),
    errors.MailboxClosed("m"),
    errors.PeerNotServing("p", "draining"),
    errors.Filtered("m", "receiver"),
    errors.OutcomeUnknown("lease lost"),
    errors.RequestDropped("m"),
    errors.DeadlineExceeded("request", 2.5),
    errors.AlreadyRegistered("ns.actor.a", "p", "127.0.0.1:1", 9),
    errors.LeaseLost("gone"),
    errors.UnknownActorType("t", ["a", "b"]),
    errors.FactoryFailed("ValueError: no"),
    errors.NilActor("t"),
    errors.UnknownActor("a"),
    errors.ActorStillRunning("a"),
    errors.EtcdUnavailable("no endpoint answers"),
    errors.RequestFailed("out of stock", "FAILED_PRECONDITION"),
    errors.RequestFailed("plain"),
]


def _over_the_wire(error: GridError) -> GridError:
    code, text, trailers = encode_error(error)
    return decode_error(code, text, trailers, receiver="m", type_name="x.Y")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_comes_back_as_it_was(error: GridError) -> None:
    back = _over_the_wire(error)
    assert type(back) is type(error)
    assert back.attributes() == error.attributes()
    assert str(back) == str(error)
    assert back.retryable == error.retryable


@pytest.mark.parametrize(
    ("error", "phrase"),
    [
        (errors.UnknownMailbox("m"), "grid: unknown mailbox"),
        (errors.StaleEpoch("m", 1, 2), "grid: unknown mailbox"),
        (errors.ReceiverBusy("m"), "grid: receiver busy"),
        (errors.MailboxClosed("m"), "grid: receiver busy"),
        (errors.UnknownMessageType("x"), "codec: unregistered message type"),
        (errors.AlreadyRegistered("ns.actor.a"), 'registering actor "ns.actor.a"'),
        (errors.AlreadyRegistered("ns.actor.a"), "registry: already registered"),
        (errors.UnknownActorType("t"), "grid: def not registered: type=t"),
        (errors.NilActor("t"), "grid: nil actor"),
        (errors.InvalidActorType("a b"), "grid: invalid actor type"),
        (errors.InvalidName("a b", "actor"), "grid: invalid name"),
    ],
)
def test_the_text_has_the_phrase_that_go_code_looks_for(error: GridError, phrase: str) -> None:
    assert phrase in encode_error(error)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grid: unknown mailbox", errors.UnknownMailbox),
        ("grid: receiver busy", errors.ReceiverBusy),
        ("codec: unregistered message type", errors.UnknownMessageType),
        (
            'registering actor "ns.actor.a": registry: already registered',
            errors.AlreadyRegistered,
        ),
        (
            'registering actor "ns.actor.a": registry: failed registration',
            errors.AlreadyRegistered,
        ),
        ("grid: def not registered: type=t", errors.UnknownActorType),
        ("grid: nil actor", errors.NilActor),
        ("grpc: received message larger than max (5 vs. 4)", errors.MessageTooLarge),
        ("SERVER: Received message larger than max (5 vs. 4)", errors.MessageTooLarge),
        ("whatever the application says", errors.RequestFailed),
    ],
)
def test_a_go_peers_text_is_understood(text: str, expected: type[GridError]) -> None:
    got = decode_error(grpc.StatusCode.UNKNOWN, text, (), receiver="m", type_name="x.Y")
    assert type(got) is expected


def test_a_go_peers_text_says_which() -> None:
    text = 'registering actor "ns.actor.a": registry: already registered'
    taken = decode_error(grpc.StatusCode.UNKNOWN, text, (), receiver="m", type_name="")
    assert isinstance(taken, errors.AlreadyRegistered)
    assert taken.key == "ns.actor.a"


@pytest.mark.parametrize("trailer", [b"", b"{}", b"[1]", b'["NoSuchError", {}]', b"\xff"])
def test_a_trailer_nobody_understands_leaves_the_text(trailer: bytes) -> None:
    trailers = (("grid-error-bin", trailer),)
    got = decode_error(grpc.StatusCode.UNKNOWN, "new error", trailers, receiver="", type_name="")
    assert isinstance(got, errors.RequestFailed)
    assert got.text == "new error"


def test_a_long_text_fits_the_header() -> None:
    code, text, trailers = encode_error(errors.RequestFailed("x" * 100_000))
    assert len(text) <= 4096
    assert code is grpc.StatusCode.UNKNOWN
    assert sum(len(value) for _, value in trailers) < 10


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"])
def test_an_actors_own_error_stays_its_own(code: str) -> None:
    error = errors.RequestFailed("grid: receiver busy, says the actor", code)
    decoded = _over_the_wire(error)
    assert type(decoded) is errors.RequestFailed
    assert (decoded.text, decoded.code) == (error.text, code)


def test_every_error_can_be_pickled() -> None:
    import pickle

    for error in ERRORS:
        back = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(back), str(back)) == (type(error), str(error))
