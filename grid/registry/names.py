"""Names and namespaces: their rules, and the keys that are made of them.

A name is 1 to 1,024 of `a-z A-Z 0-9 - _`. The full name of a thing, and its
key in etcd, is `<namespace>.<kind>.<name>`; no name contains a dot, so the
parts are never in doubt and no namespace is a prefix of another.

Source: the registry of lytics/grid v3, with which Go peers find ours.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache

from grid.errors import InvalidActorType, InvalidName, InvalidNamespace

__all__ = [
    "LONGEST_NAME",
    "Kind",
    "address_lock_key",
    "check_actor_type",
    "check_name",
    "check_namespace",
    "default_peer_name",
    "full_name",
    "group_key",
    "peer_name",
    "prefix",
]

_NAME = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)

# Characters of a name, an actor type or a namespace. A session carries names of up to 4,096, and
# a full name is a namespace, a kind and a name.
LONGEST_NAME = 1024


class Kind(enum.StrEnum):
    """The kinds of entities that have names."""

    PEER = "peer"
    ACTOR = "actor"
    MAILBOX = "mailbox"


def _is_name(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_NAME and bool(_NAME.fullmatch(text))


def check_name(name: str, kind: str = "name") -> str:
    """The name itself, if it keeps the rule.

    Raises:
        InvalidName: it does not; `kind` is said in the error.
    """
    if not _is_name(name):
        raise InvalidName(name, kind)
    return name


def check_actor_type(type: str) -> str:  # noqa: A002
    """The type itself, if it keeps the rule; else raises `InvalidActorType`."""
    if not _is_name(type):
        raise InvalidActorType(type)
    return type


def check_namespace(namespace: str) -> str:
    """The namespace itself, if it keeps the rule; else raises `InvalidNamespace`."""
    # The cache of the rule cannot take what is not hashable.
    if not isinstance(namespace, str) or not _is_namespace(namespace):
        raise InvalidNamespace(namespace)
    return namespace


_is_namespace = lru_cache(maxsize=1024)(_is_name)


def full_name(namespace: str, kind: Kind, name: str) -> str:
    """The key of a name: `<namespace>.<kind>.<name>`.

    Raises:
        InvalidName: the name breaks the rule (looked at first).
        InvalidNamespace: the namespace breaks it.
    """
    check_name(name, kind)
    check_namespace(namespace)
    return f"{namespace}.{kind}.{name}"


def prefix(namespace: str, kind: Kind) -> str:
    """The prefix of all keys of a kind; the rest of a key is the name."""
    return f"{check_namespace(namespace)}.{kind}."


def group_key(namespace: str, path: str) -> str:
    """The key of a path under which many mailboxes are found; Go peers do not look there."""
    return f"{check_namespace(namespace)}.group.{path}"


def address_lock_key(address: str) -> str:
    """The key that one process at a time holds for its address.

    It is outside all namespaces, as the Go library has it.
    """
    return f"registry.uniq-lock.{address}"


def peer_name(address: str) -> str:
    """The name that Go gives the peer at an address: `127.0.0.1:7777` is `127-0-0-1-7777`.

    Brackets of IPv6 are left out.
    """
    text = address.replace("[", "").replace("]", "")
    for separator in ":./":
        text = text.replace(separator, "-")
    return check_name(text.strip("~\\!?@#$%^&*()<>+=|").strip(), Kind.PEER)


def default_peer_name(address: str) -> str:
    """The name of a peer that was given none: that of `peer_name`, made fit for a command.

    An IPv6 address may begin with colons, of which Go makes a name that looks like an option
    (`--1-7777`): it loses its dashes. A host that is not ASCII has the form that DNS gives it.
    """
    if not address.isascii():
        host, _, port = address.rpartition(":")
        try:
            address = f"{host.encode('idna').decode()}:{port}"
        except UnicodeError:
            raise InvalidName(address, Kind.PEER) from None
    return check_name(peer_name(address).lstrip("-"), Kind.PEER)
