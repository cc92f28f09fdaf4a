"""Registrations: the JSON in etcd under a name, with its owner and address.

The fields and their order are those of the Go library, whose decoder this one
matches: missing and unknown fields, `null`, and names in other case are fine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from grid.etcd import KeyValue

__all__ = [
    "EACH_PEER",
    "Amount",
    "MalformedRegistration",
    "Offers",
    "Registration",
    "decode_registration",
    "encode_registration",
    "is_amount",
]

EACH_PEER: Literal["each-peer"] = "each-peer"
Amount = int | Literal["each-peer"]  # of actors of one type that a namespace shall always have


class MalformedRegistration(ValueError):
    """A value under one of the grid's prefixes is not a registration."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One name, its owner, and the terms of the ownership.

    Attributes:
        key: the full name, `<namespace>.<kind>.<name>`.
        peer: the name of the owner's peer.
        address: where that peer is dialled.
        annotations: what the peer says of itself; empty for other kinds.
        epoch: the key's create revision, which fences one ownership from the next.
        lease: the id of the peer's lease.
        session: the version of sessions that the peer has; 0 for none, as Go peers.
        socket: the host and path of the peer's unix socket; empty for none.
        type: the type of an actor, or of a mailbox that was opened with one; else empty.
        types: the actor types that a peer defined when it joined; empty for other kinds.
        keep: how many actors of a type there shall always be, as a peer declares it:
            `(type, amount)`; see `grid.registry.keeping`.
        activates: the types of which a peer starts an actor when a request asks for its name.
        moves: the types whose actors are moved to another peer when this one is drained.
        tls: True if the peer speaks TLS, and only that.
    """

    key: str
    peer: str
    address: str
    annotations: tuple[str, ...]
    epoch: int
    lease: int
    session: int = 0
    socket: str = ""
    type: str = ""
    types: tuple[str, ...] = ()
    keep: tuple[tuple[str, Amount], ...] = ()
    activates: tuple[str, ...] = ()
    tls: bool = False
    moves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offers:
    """The actors that a peer offers, as its registration says; see `Registration`."""

    types: tuple[str, ...] = ()
    keep: tuple[tuple[str, Amount], ...] = ()
    activates: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()


def encode_registration(
    key: str,
    address: str,
    peer: str,
    annotations: Iterable[str] | None = None,
    *,
    session: int = 0,
    socket: str = "",
    type: str = "",  # noqa: A002
    types: Iterable[str] = (),
    keep: Iterable[tuple[str, Amount]] = (),
    activates: Iterable[str] = (),
    moves: Iterable[str] = (),
    tls: bool = False,
) -> bytes:
    """The value to store for a name; annotations are sorted, None is `null`.

    What a Go peer does not know of is left out where it says nothing.
    """
    value: dict[str, Any] = {
        "key": key,
        "address": address,
        "registry": peer,
        "annotations": None if annotations is None else sorted(annotations),
    }
    if session:
        value["session"] = session
    if socket:
        value["socket"] = socket
    if type:
        value["type"] = type
    if types := sorted(types):
        value["types"] = types
    if amounts := dict(sorted(keep)):
        value["keep"] = amounts
    if activated := sorted(activates):
        value["activates"] = activated
    if moved := sorted(moves):
        value["moves"] = moved
    if tls:
        value["tls"] = True
    return json.dumps(value, separators=(",", ":")).encode()


def decode_registration(stored: KeyValue) -> Registration:
    """The registration in a stored value.

    Raises:
        MalformedRegistration: it is not one; the text says why.
    """
    try:
        value = json.loads(stored.value)
    except (ValueError, RecursionError) as error:
        raise MalformedRegistration(f"{stored.key}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedRegistration(f"{stored.key}: not a JSON object")
    if "registry" not in value or "address" not in value:
        value = {name.lower(): one for name, one in value.items()}
    return Registration(
        stored.key,
        _shared(stored.key, value, "registry"),
        _shared(stored.key, value, "address"),
        _texts(stored.key, value, "annotations"),
        stored.create_revision,
        stored.lease,
        session if isinstance(session := value.get("session"), int) else 0,
        _shared(stored.key, value, "socket"),
        _shared(stored.key, value, "type"),
        _texts(stored.key, value, "types"),
        _amounts(value.get("keep")),
        _texts(stored.key, value, "activates"),
        value.get("tls") is True,
        _texts(stored.key, value, "moves"),
    )


def _amounts(keep: Any) -> tuple[tuple[str, Amount], ...]:
    # Left out, not refused, where it says nothing to this version: the peer is there all the same.
    if not isinstance(keep, dict):
        return ()
    return tuple((type_, amount) for type_, amount in keep.items() if is_amount(amount))


def is_amount(amount: object) -> bool:
    """True for a whole number from 1, and for `"each-peer"`."""
    if isinstance(amount, int) and not isinstance(amount, bool):
        return amount >= 1
    return amount == EACH_PEER


def _shared(key: str, value: dict[str, Any], field: str) -> str:
    # All names of a peer say the same of it: kept once, not ten thousand times.
    return sys.intern(_text(key, value, field))


def _text(key: str, value: dict[str, Any], field: str) -> str:
    text = value.get(field)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise MalformedRegistration(f"{key}: {field} is not a string")
    _check_text(key, text)
    return text


def _texts(key: str, value: dict[str, Any], field: str) -> tuple[str, ...]:
    texts = value.get(field)
    if texts is None:
        return ()
    if not (isinstance(texts, list) and all(isinstance(one, str) for one in texts)):
        raise MalformedRegistration(f"{key}: {field} are not a list of strings")
    _check_text(key, "".join(texts))
    return tuple(texts)


def _check_text(key: str, text: str) -> None:
    # JSON can say half of a surrogate pair, which cannot be sent or printed.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedRegistration(f"{key}: not Unicode") from None
