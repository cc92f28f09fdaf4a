"""The parts of `grid.etcd` that do no I/O."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import (
    EtcdAuthFailed,
    EtcdCompacted,
    EtcdError,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    EtcdUnavailable,
    InvalidAddress,
    InvalidArgument,
    LeaseLost,
)
from grid.etcd import EtcdConfig, KeyValue, Snapshot
from grid.etcd._failures import CallFailed, Kind, cause, translate
from grid.etcd._lease import lease_deadline, ping_time
from grid.etcd._model import decode_key, encode_key, prefix_range
from grid.etcd._rotation import Rotation, attempt_time, pause
from grid.etcd._view import View, difference

# -- configuration ------------------------------------------------------------


def test_endpoints_are_normalised() -> None:
    config = EtcdConfig.parse(" a:1, http://b:2/ ,[::1]:3,a:1 ", timeout=2.0)
    assert config.endpoints == ("a:1", "b:2", "[::1]:3")
    assert not config.tls
    assert config.timeout == 2.0


def test_https_and_ca_mean_tls() -> None:
    assert EtcdConfig.parse("https://a:1").tls
    assert EtcdConfig(("a:1",), ca=Path("ca.pem")).tls


@pytest.mark.parametrize(
    "text",
    ["", " , ", "a", "a:", ":1", "a:0", "a:65536", "ftp://a:1", "a:b", "a b:1", "::1:2", "a:1;b:2"],
)
def test_garbage_is_an_invalid_address(text: str) -> None:
    with pytest.raises(InvalidAddress):
        EtcdConfig.parse(text)


@pytest.mark.parametrize(
    "text",
    ["http://u:hunter2@a:1", "u:hunter2@a:1", "b:1,u:hunter2@a:1", "http://u:p@hunter2@a:x,b"],
)
def test_an_endpoint_is_named_without_a_password(text: str) -> None:
    with pytest.raises(InvalidAddress, match="user= and password=") as caught:
        EtcdConfig.parse(text)
    assert "hunter2" not in f"{caught.value}{caught.value!r}{caught.value.address}"


def test_mixed_schemes_are_refused() -> None:
    with pytest.raises(InvalidAddress, match="mixed"):
        EtcdConfig.parse("http://a:1,https://b:1")


@pytest.mark.parametrize(
    "options",
    [
        {"cert": "c", "ca": "x"},
        {"user": "u"},
        {"password": "p"},
        {"cert": "c", "key": "k"},
    ],
)
def test_incomplete_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="etcd: "):
        EtcdConfig.parse("a:1", **options)


@pytest.mark.parametrize("timeout", [0, -1, True, "1", math.nan])
def test_a_timeout_is_above_zero(timeout: Any) -> None:
    with pytest.raises(InvalidArgument, match="timeout of etcd must be a number of sec"):
        EtcdConfig.parse("a:1", timeout=timeout)


@pytest.mark.parametrize("name", ["user", "password"])
@pytest.mark.parametrize("wrong", [5, b"secret", "secret \ud800"])
def test_users_and_passwords_are_texts(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} of etcd must be a text") as caught:
        EtcdConfig.parse("a:1", **{"user": "u", "password": "p", name: wrong})
    assert "secret" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    word = "secret"
    assert word not in repr(EtcdConfig.parse("a:1", user="u", password=word))


# -- keys ---------------------------------------------------------------------


@given(st.binary(max_size=6), st.binary(max_size=8))
def test_a_range_holds_exactly_the_keys_with_the_prefix(prefix: bytes, key: bytes) -> None:
    start, end = prefix_range(decode_key(prefix))
    inside = key >= start and (end == b"\0" or key < end)
    # etcd has no empty key, and b"\0" as a start means "from the first key on".
    assert inside == key.startswith(prefix) or not key


@given(st.binary())
def test_any_key_survives(key: bytes) -> None:
    assert encode_key(decode_key(key)) == key


# -- failures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "kind", "error"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", Kind.LOST, EtcdUnavailable),
        ("UNKNOWN", "Stream removed", Kind.LOST, EtcdUnavailable),
        ("UNKNOWN", "raft proposal dropped", Kind.LOST, EtcdUnavailable),
        ("INTERNAL", "Internal error from Core", Kind.LOST, EtcdUnavailable),
        ("INTERNAL", "Received RST_STREAM with error code 2", Kind.LOST, EtcdUnavailable),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Kind.TIMED_OUT, EtcdUnavailable),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Kind.LOST, EtcdUnavailable),
        (
            "RESOURCE_EXHAUSTED",
            "etcdserver: mvcc: database space exceeded",
            Kind.REFUSED,
            EtcdOutOfSpace,
        ),
        (
            "INVALID_ARGUMENT",
            "etcdserver: request is too large",
            Kind.REFUSED,
            EtcdRequestTooLarge,
        ),
        (
            "RESOURCE_EXHAUSTED",
            "grpc: received message larger than max (2200353 vs. 2097152)",
            Kind.REFUSED,
            EtcdRequestTooLarge,
        ),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", Kind.TOKEN, EtcdAuthFailed),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Kind.TOKEN, EtcdAuthFailed),
        (
            "INVALID_ARGUMENT",
            "etcdserver: authentication failed, invalid user ID or password",
            Kind.REFUSED,
            EtcdAuthFailed,
        ),
        (
            "PERMISSION_DENIED",
            "etcdserver: permission denied",
            Kind.REFUSED,
            EtcdPermissionDenied,
        ),
        ("NOT_FOUND", "etcdserver: requested lease not found", Kind.REFUSED, LeaseLost),
        (
            "OUT_OF_RANGE",
            "etcdserver: mvcc: required revision has been compacted",
            Kind.REFUSED,
            EtcdCompacted,
        ),
        ("INVALID_ARGUMENT", "etcdserver: key is not provided", Kind.REFUSED, EtcdError),
    ],
)
def test_failures_have_a_kind_and_an_error(
    code: str, text: str, kind: Kind, error: type[Exception]
) -> None:
    failure = CallFailed(code, text)
    assert failure.kind is kind
    assert type(translate(failure, revision=7)) is error


@pytest.mark.parametrize(
    ("code", "text", "broke"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", True),
        ("UNAVAILABLE", "DNS resolution failed for etcd:2379", True),
        ("INTERNAL", "Internal error from Core", True),
        ("UNAVAILABLE", "etcdserver: no leader", False),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", False),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", False),
    ],
)
def test_a_refusal_to_serve_is_no_broken_connection(code: str, text: str, broke: bool) -> None:
    assert CallFailed(code, text).broke_connection is broke


def test_an_attempt_cut_short_does_not_hide_the_cause() -> None:
    refused = CallFailed("UNAVAILABLE", "connection refused")
    silent = CallFailed("DEADLINE_EXCEEDED", "Deadline Exceeded")
    assert cause(None, silent, 0.01) is silent
    assert cause(refused, silent, 0.01) is refused
    assert cause(refused, silent, 5.0) is silent
    assert cause(silent, refused, 0.01) is refused


# -- rotation and times -------------------------------------------------------


def test_rotation_leaves_only_the_endpoint_that_failed() -> None:
    rotation = Rotation(["a", "b", "c"])
    rotation.failed("a")
    rotation.failed("a")
    assert rotation.current == "b"
    rotation.failed("b")
    rotation.failed("c")
    assert rotation.current == "a"


def test_a_pause_follows_a_full_round_only_and_grows() -> None:
    pauses = [pause(n, 3, 1.0) for n in range(10)]
    assert pauses == [0, 0, 0, 0.05, 0, 0, 0.1, 0, 0, 0.2]
    assert pause(10**6, 1, 1.0) == 1.0
    assert pause(3, 3, 0.0) == 0.025


def test_every_endpoint_gets_its_turn() -> None:
    assert attempt_time(10, 10, 4) * 4 < 10
    assert attempt_time(0.3, 10, 4) == 0.3
    assert attempt_time(2, 2, 4) == 1.0


def test_the_margin_is_a_tenth_of_the_ttl() -> None:
    assert lease_deadline(100, 10) == 109
    assert lease_deadline(100, 1) == 100.8


def test_pings_to_all_endpoints_fit_before_the_deadline() -> None:
    remaining, tries = 5.0, 0
    while remaining > 0.1:
        remaining -= ping_time(remaining, 3)
        tries += 1
    assert tries >= 3
    assert ping_time(0.05, 3) == 0.05


# -- the view of a watch ------------------------------------------------------


def kv(key: str, revision: int, created: int | None = None) -> KeyValue:
    return KeyValue(key, b"%d" % revision, created or revision, revision, 0)


def event(key: str, revision: int, created: int | None = None, *, delete: bool = False) -> Any:
    one = kv(key, revision, created)
    raw = SimpleNamespace(
        key=key.encode(),
        value=one.value,
        create_revision=one.create_revision,
        mod_revision=revision,
        lease=0,
    )
    return SimpleNamespace(type=1 if delete else 0, kv=raw)


def test_the_first_list_is_a_snapshot_even_if_empty() -> None:
    batch = View().relist(Snapshot(5, []))
    assert batch is not None
    assert (batch.snapshot, batch.changes, batch.revision) == (True, [], 5)


def test_a_second_list_without_news_is_no_batch() -> None:
    view = View()
    view.relist(Snapshot(5, [kv("a", 3)]))
    assert view.relist(Snapshot(9, [kv("a", 3)])) is None
    assert view.revision == 9


def test_what_happened_unseen_is_made_up() -> None:
    known = {one.key: one for one in [kv("gone", 1), kv("same", 2), kv("new", 3), kv("again", 4)]}
    changes = difference(known, [kv("again", 9), kv("born", 7), kv("new", 8, 3), kv("same", 2)])
    told = [(c.key, c.current and c.current.mod_revision, c.previous is not None) for c in changes]
    assert told == [
        ("gone", None, True),
        ("again", None, True),
        ("born", 7, False),
        ("new", 8, True),
        ("again", 9, False),
    ]


def test_events_come_once() -> None:
    view = View()
    view.relist(Snapshot(5, [kv("a", 3)]))
    batch = view.apply([event("a", 5), event("b", 6), event("c", 6), event("a", 7, delete=True)])
    assert batch is not None
    assert [(c.key, c.current is None) for c in batch.changes] == [
        ("b", False),
        ("c", False),
        ("a", True),
    ]
    assert view.apply([event("b", 6)]) is None
    assert set(view.current) == {"b", "c"}
    assert (view.revision, batch.snapshot) == (7, False)


def test_a_view_knows_the_store_that_it_was_read_from() -> None:
    view = View()
    assert view.continued_by(None, 0)
    assert not view.continued_by(kv("a", 3), 1)
    view.relist(Snapshot(5, [kv("a", 3), kv("b", 4)]))
    assert view.continued_by(kv("b", 4), 2)
    assert not view.continued_by(kv("b", 4), 3)
    assert not view.continued_by(kv("b", 4, created=1), 2)
    assert not view.continued_by(kv("c", 4), 2)
    assert not view.continued_by(None, 0)


_HISTORY = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30)


def play(history: list[tuple[str, bool]]) -> tuple[list[Any], list[Snapshot]]:
    """The events of puts and (True) deletes, and the list before each and after the last."""
    store: dict[str, KeyValue] = {}
    events: list[Any] = []
    lists = [Snapshot(0, [])]
    for key, delete in history:
        if delete and key not in store:
            continue
        revision = len(events) + 1
        created = store[key].create_revision if key in store else revision
        events.append(event(key, revision, created, delete=delete))
        if delete:
            del store[key]
        else:
            store[key] = kv(key, revision, created)
        lists.append(Snapshot(revision, sorted(store.values(), key=lambda one: one.key)))
    return events, lists


@given(_HISTORY, st.integers(0, 30), st.integers(0, 30))
def test_a_gap_leads_to_the_same_keys(
    history: list[tuple[str, bool]], one: int, other: int
) -> None:
    """A dict that follows a view through a gap and a new list ends like the store."""
    events, lists = play(history)
    seen, listed = (min(n, len(events)) for n in sorted((one, other)))
    view = View()
    batches = [view.relist(lists[0])]
    batches += [view.apply([happened]) for happened in events[:seen]]
    batches.append(view.relist(lists[listed]))
    batches += [view.apply([happened]) for happened in events[listed:]]
    kept: dict[str, KeyValue] = {}
    for change in [change for batch in batches if batch for change in batch.changes]:
        assert kept.pop(change.key, None) == change.previous
        if change.current is not None:
            kept[change.key] = change.current
    assert kept == dict(view.current) == {item.key: item for item in lists[-1].items}
