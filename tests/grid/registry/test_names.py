"""Names and namespaces keep their rules before any I/O."""

import string

import pytest

from grid.errors import InvalidName, InvalidNamespace
from grid.registry.names import (
    LONGEST_NAME,
    Kind,
    address_lock_key,
    check_actor_type,
    check_name,
    check_namespace,
    default_peer_name,
    full_name,
    peer_name,
    prefix,
)

BAD = [
    "",
    "a b",
    "a\n",
    "\n",
    "a.b",
    "ä",
    "名",
    "٣",
    "a/b",
    *sorted(set(string.punctuation) - set("-_")),
]


def test_a_name_fits_into_a_session_and_a_text() -> None:
    longest = "n" * LONGEST_NAME
    assert check_name(longest) == longest
    assert len(full_name(longest, Kind.MAILBOX, longest)) < 4096
    for refuse in (check_name, check_namespace, check_actor_type):
        for long in (longest + "n", "n" * 100_000):
            with pytest.raises(InvalidName, match=rf"\({len(long)} characters\)") as caught:
                refuse(long)
            assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="grid: invalid name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "A-Z_09", "-", "_", "0", "x" * 1000])
def test_a_good_name_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", [None, 7, b"a"])
def test_what_is_not_text_is_no_name(name: object) -> None:
    with pytest.raises(InvalidName):
        check_name(name)  # type: ignore[arg-type]


def test_a_bad_namespace_is_refused_by_its_own_error() -> None:
    with pytest.raises(InvalidNamespace, match="grid: invalid namespace"):
        check_namespace("a.b")


def test_of_a_bad_name_and_a_bad_namespace_the_name_is_told() -> None:
    with pytest.raises(InvalidName, match="mailbox name") as caught:
        full_name("no namespace", Kind.MAILBOX, "no name")
    assert not isinstance(caught.value, InvalidNamespace)


def test_keys_are_those_of_the_go_library() -> None:
    assert full_name("ns", Kind.PEER, "127-0-0-1-7777") == "ns.peer.127-0-0-1-7777"
    assert full_name("ns", Kind.ACTOR, "leader") == "ns.actor.leader"
    assert full_name("ns", Kind.MAILBOX, "m") == "ns.mailbox.m"
    assert prefix("ns", Kind.ACTOR) == "ns.actor."
    assert address_lock_key("127.0.0.1:7801") == "registry.uniq-lock.127.0.0.1:7801"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:7777", "127-0-0-1-7777"),
        ("[::1]:7850", "--1-7850"),
        ("peer-1.svc.local:7777", "peer-1-svc-local-7777"),
    ],
)
def test_peer_names_are_made_from_addresses(address: str, name: str) -> None:
    assert peer_name(address) == name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:7777", "127-0-0-1-7777"),
        ("[::1]:7850", "1-7850"),
        ("[fd00::1]:7850", "fd00--1-7850"),
        ("b\u00fccher.example:7777", "xn--bcher-kva-example-7777"),
    ],
)
def test_a_default_name_can_be_given_to_a_command(address: str, name: str) -> None:
    assert default_peer_name(address) == name


def test_an_address_that_makes_no_name_is_refused() -> None:
    with pytest.raises(InvalidName):
        default_peer_name("\u00fc" * 100 + ":1")
