"""An error is the same error after its way over the wire."""

import copy
import itertools
from typing import Any

import grpc
import pytest

from grid import errors
from grid.errors import GridError
from grid.errors.classification import TABLE, from_actor
from grid.transport.error_codec import decode_error, encode_error
from grid.transport.failures import decode_failure, encode_failure
from grid.wire_pb2 import Failure

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
    errors.MailboxClosed("m", "ValueError: no stock"),
    errors.OnStartFailed("m", "ValueError: no stock"),
    errors.PeerBusy(5),
    errors.PeerNotServing("p", "draining"),
    errors.Filtered("m", "receiver"),
    errors.PeerFull("p", 4),
    errors.UndecodableMessage("shop.Order", "id: 'x' is no whole number"),
    errors.StateFenced("ns.state.t.a", 7),
    errors.StateTooLarge(5, 4),
    errors.StateTooLarge(5, advice="keep less in it"),
    errors.StoreUnavailable("SQLite, x.db: locked"),
    errors.UnexpectedState("ns.state.t.a", "Count", "shop.Order"),
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
    errors.EtcdRequestTooLarge("request is too large"),
    errors.RequestFailed("out of stock", "FAILED_PRECONDITION"),
    errors.RequestFailed("plain"),
]


def _over_a_session(error: GridError) -> GridError:
    return decode_failure(Failure.FromString(encode_failure(error).SerializeToString()))


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


UNKNOWN, EXHAUSTED = grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED
TOO_LARGE = "received message larger than max (5 vs. 4)"
TAKEN = 'registering actor "ns.actor.a": registry: already registered'

# What the gate of a Go peer, its gRPC library, and its starter of actors say.
OF_GATE = [
    (UNKNOWN, "grid: unknown mailbox", errors.UnknownMailbox),
    (UNKNOWN, "grid: receiver busy", errors.ReceiverBusy),
    (UNKNOWN, "codec: unregistered message type", errors.UnknownMessageType),
    (EXHAUSTED, f"grpc: {TOO_LARGE}", errors.MessageTooLarge),
    (EXHAUSTED, f"SERVER: {TOO_LARGE.capitalize()}", errors.MessageTooLarge),
    (EXHAUSTED, f"Stream removed (CLIENT: {TOO_LARGE.capitalize()})", errors.MessageTooLarge),
    (UNKNOWN, "whatever the application says", errors.RequestFailed),
]
OF_START = [
    (UNKNOWN, TAKEN, errors.AlreadyRegistered),
    (
        UNKNOWN,
        'registering actor "ns.actor.a": registry: failed registration',
        errors.AlreadyRegistered,
    ),
    (UNKNOWN, "grid: def not registered: type=t", errors.UnknownActorType),
    (UNKNOWN, "grid: def not registered (nil def): type=t", errors.UnknownActorType),
    (UNKNOWN, "grid: nil actor", errors.NilActor),
]


@pytest.mark.parametrize(("code", "text", "expected"), OF_GATE)
def test_a_go_peers_text_is_understood(
    code: grpc.StatusCode, text: str, expected: type[GridError]
) -> None:
    got = decode_error(code, text, (), receiver="m", type_name="x.Y")
    assert type(got) is expected


@pytest.mark.parametrize(("code", "text", "expected"), OF_START)
@pytest.mark.parametrize("type_name", ["grid.ActorStart", "github.com/lytics/grid/v3/ActorStart"])
def test_a_go_peers_answer_to_a_start_is_understood(
    code: grpc.StatusCode, text: str, expected: type[GridError], type_name: str
) -> None:
    got = decode_error(code, text, (), receiver="p", type_name=type_name)
    assert type(got) is expected


def test_a_go_peers_text_says_which() -> None:
    taken = decode_error(UNKNOWN, TAKEN, (), receiver="p", type_name="grid.ActorStart")
    assert isinstance(taken, errors.AlreadyRegistered)
    assert taken.key == "ns.actor.a"


@pytest.mark.parametrize(
    "text",
    [
        "user bob already registered",
        TAKEN,
        f"upload {TOO_LARGE}",
        "downstream: grid: receiver busy",
        "rpc error: code = Unknown desc = grid: unknown mailbox",
        "grid: receiver busy\n",
        "dial tcp 127.0.0.1:1: connect: connection refused",
        "failed to connect to all addresses; last error: connection refused",
        "no such thing: codec: unregistered message type",
        "context deadline exceeded",
        "context canceled",
    ],
)
def test_other_texts_are_the_words_of_an_actor(text: str) -> None:
    for code in list(grpc.StatusCode)[1:]:
        got = decode_error(code, text, (), receiver="m", type_name="x.Y")
        assert type(got) is errors.RequestFailed
        assert (got.text, got.code, got.retryable) == (text, code.name, False)


@pytest.mark.parametrize("text", ["grid: unknown mailbox", "grid: receiver busy"])
def test_what_a_go_actor_can_forward_is_not_called_safe_to_resend(text: str) -> None:
    got = decode_error(UNKNOWN, text, (), receiver="m", type_name="x.Y")
    assert isinstance(got, errors.NotDelivered)
    assert not got.retryable
    assert type(got).retryable  # only this one, which was known by its text
    assert "retryable" not in got.attributes()


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
    _, _, trailers = encode_error(errors.FactoryFailed("x" * 100_000))
    assert sum(len(value) for _, value in trailers) < 1000


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"])
def test_an_actors_own_error_stays_its_own(code: str) -> None:
    error = errors.RequestFailed("grid: receiver busy, says the actor", code)
    decoded = _over_the_wire(error)
    assert type(decoded) is errors.RequestFailed
    assert (decoded.text, decoded.code) == (error.text, code)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_what_an_actor_says_is_its_own_whatever_it_says(error: GridError) -> None:
    decoded = _over_the_wire(from_actor(error))
    assert isinstance(decoded, errors.RequestFailed)
    assert decoded.text == str(error)
    assert not decoded.retryable
    if not isinstance(error, errors.RequestFailed):
        assert type(decoded) is errors.RequestFailed
        assert type(decoded.cause) is type(error)
        assert str(decoded.cause) == str(error)
        assert decoded.code == encode_error(error)[0].name


class OutOfStock(errors.RequestFailed):
    """A user's own error."""

    def __init__(self, item: str) -> None:
        super().__init__(f"no {item} left", "FAILED_PRECONDITION")
        self.item = item


class TooManyGuests(errors.ReceiverBusy):
    """A user's own refusal before a mailbox."""

    def __init__(self, guests: object) -> None:
        super().__init__("hall", 5)
        self.guests = guests


def test_a_derived_error_keeps_its_code_and_arrives_as_what_it_derives_from() -> None:
    for decode in (_over_the_wire, _over_a_session):
        failed = decode(OutOfStock("bolts"))
        assert isinstance(failed, errors.RequestFailed)
        assert (failed.text, failed.code) == ("no bolts left", "FAILED_PRECONDITION")
        busy = decode(TooManyGuests(object()))
        assert type(busy) is errors.ReceiverBusy
        assert (busy.name, busy.size, busy.retryable) == ("hall", 5, True)


class Unspeakable(GridError):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error",
    [
        Unspeakable("x"),
        errors.RequestFailed(5, 5),  # type: ignore[arg-type]
        errors.RequestFailed("half a pair: \ud800", grpc.StatusCode.NOT_FOUND),
        errors.ReceiverBusy(object()),  # type: ignore[arg-type]
        errors.MessageTooLarge(10**4000, 4),
        TooManyGuests(object()),
        from_actor(Unspeakable("x")),
        from_actor(ValueError(), "no such code"),
        from_actor(errors.FactoryFailed("x" * 100_000)),
    ],
    ids=lambda e: type(e).__name__,
)
def test_every_error_can_be_sent(error: GridError) -> None:
    for decode in (_over_the_wire, _over_a_session):
        assert isinstance(decode(error), GridError)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("NOT_FOUND", "NOT_FOUND"),
        ("not_found", "NOT_FOUND"),
        (5, "NOT_FOUND"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (0, "UNKNOWN"),
        (-1, "UNKNOWN"),
        (17, "UNKNOWN"),
        ("OK", "UNKNOWN"),
        ("nonsense", "UNKNOWN"),
        (None, "UNKNOWN"),
    ],
)
def test_a_code_is_given_as_people_have_it(code: object, name: str) -> None:
    error = errors.RequestFailed("no", code)
    assert error.code == name
    for decode in (_over_the_wire, _over_a_session):
        back = decode(error)
        assert isinstance(back, errors.RequestFailed)
        assert back.code == name


HOSTILE = [
    b"[" * 3000,
    b"[" * 300_000,
    b'["AlreadyRegistered",{"key":5}]',
    b'["ReceiverBusy",{"name":[],"size":"many"}]',
    b'["ReceiverBusy",{"name":"m","size":true}]',
    b'["MessageTooLarge",{"size":' + b"9" * 400 + b',"limit":4}]',
    b'["MessageTooLarge",{"size":' + b"9" * 40_000 + b',"limit":4}]',
    b'["DeadlineExceeded",{"what":"x","seconds":' + b"9" * 400 + b"}]",
    b'["DeadlineExceeded",{"what":"x","seconds":NaN}]',
    b'["UnknownActorType",{"type":"t","offered":5}]',
    b'["UnknownActorType",{"type":"t","offered":[5]}]',
    b'["BreakerOpen",{"address":"x","state":"open","retry_in":1e9}]',
    b'["GridError",{"message":"x"}]',
    b'["OSError",{}]',
    b'[["RequestFailed"],{}]',
    b'["ReceiverBusy",["name"]]',
    b'["ReceiverBusy",{"name":"m","self":1}]',
    b'["ReceiverBusy",{"name":"m","retryable":true}]',
    b'{"ReceiverBusy":1,"x":2}',
    b"null",
    b"5",
    b"\xff\xfe",
    b'["\\ud800",{}]',
    b'["UnknownMailbox",{"name":"\\ud800"}]',
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:40]))
def test_whatever_a_peer_sends_is_an_error(body: bytes) -> None:
    for origin, code in itertools.product((Failure.ACTOR, Failure.GRID, 7), (0, 8, 17, 2**32 - 1)):
        failure = Failure(code=code, text="said", error=body)
        failure.MergeFromString(b"\x20" + bytes([origin]))
        error = decode_failure(Failure.FromString(failure.SerializeToString()))
        assert isinstance(error, GridError)
        str(error)
        repr(error.attributes())
    trailers = (("grid-error-bin", body), ("grid-origin", "grid"))
    assert isinstance(
        decode_error(UNKNOWN, "said", trailers, receiver="m", type_name=""), GridError
    )


def test_every_error_has_a_row() -> None:
    listed = {getattr(errors, name) for name in errors.__all__} - {GridError, errors.Retryable}
    assert listed <= set(TABLE)
    for cls, row in TABLE.items():
        assert row.code in grpc.StatusCode.__members__, cls


def test_every_error_can_be_pickled() -> None:
    import pickle

    for error in ERRORS:
        back = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(back), str(back)) == (type(error), str(error))


def test_every_error_can_be_copied_with_its_cause_and_its_notes() -> None:
    for error in ERRORS:
        cause = errors.ReceiverBusy("m")
        try:
            raise error from cause
        except GridError:
            error.add_note("while it was tested")
        other = copy.copy(error)
        assert (type(other), str(other)) == (type(error), str(error))
        assert (other.__cause__, other.__notes__) == (cause, ["while it was tested"])
        assert other.__traceback__ is None
        error.__cause__ = None
        del error.__notes__


@pytest.mark.parametrize(
    ("given", "text"), [(ValueError, "ValueError"), (5, "5"), (None, "None"), (b"x", "b'x'")]
)
def test_whatever_an_actor_gives_as_a_reason_is_its_text(given: Any, text: str) -> None:
    error = _over_a_session(from_actor(given))
    assert isinstance(error, errors.RequestFailed)
    assert text in str(error)
