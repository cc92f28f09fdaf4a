"""Names, namespaces and addresses: their rules, and how they are put together.

A name is one or more of `a-z A-Z 0-9 - _`. The full name of a thing, and its
key in etcd, is `<namespace>.<kind>.<name>`; no name contains a dot, so the
parts are never in doubt and no namespace is a prefix of another.

Source: the registry of lytics/grid v3, with which Go peers find ours.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import re
import socket
from collections.abc import Sequence
from functools import lru_cache

from grid.errors import (
    InvalidActorType,
    InvalidAddress,
    InvalidName,
    InvalidNamespace,
    UnspecifiedAddress,
)

__all__ = [
    "Kind",
    "address_lock_key",
    "advertised_address",
    "check_actor_type",
    "check_name",
    "check_namespace",
    "full_name",
    "peer_name",
    "prefix",
    "split_address",
]

_NAME = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)


class Kind(enum.StrEnum):
    """What a name belongs to."""

    PEER = "peer"
    ACTOR = "actor"
    MAILBOX = "mailbox"


def _is_name(text: object) -> bool:
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


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


@lru_cache(maxsize=1024)
def check_namespace(namespace: str) -> str:
    """The namespace itself, if it keeps the rule; else raises `InvalidNamespace`."""
    if not _is_name(namespace):
        raise InvalidNamespace(namespace)
    return namespace


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
    """What all keys of a kind begin with; what follows is the name."""
    return f"{check_namespace(namespace)}.{kind}."


def address_lock_key(address: str) -> str:
    """The key that one process at a time holds for its address.

    It is outside all namespaces, as the Go library has it.
    """
    return f"registry.uniq-lock.{address}"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[ipv6]:port` or `dns:///host:port`.

    Raises:
        InvalidAddress: it is none of these.
    """
    text = address.removeprefix("dns:///")
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise InvalidAddress(address, "must be host:port")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidAddress(address, "the port must be a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidAddress(address, "an IPv6 host must stand in brackets: [::1]:7777")
    return host, int(port)


def advertised_address(listen: str, advertise: str | None, port: int, *etcd: str) -> str:
    """The address that others dial.

    Args:
        listen: what the server was asked to listen on.
        advertise: the address to give out; a host alone gets the bound port;
            `"auto"` is this machine's address on the way to etcd; None is the
            listen address.
        port: the port that was bound.
        etcd: the endpoints of etcd, for `"auto"`; the first that has an address counts.

    Raises:
        UnspecifiedAddress: nobody could dial the result.
        InvalidAddress: `advertise` is not `host[:port]`.
    """
    if advertise is None:
        host, _ = split_address(listen)
        if _is_unspecified(host):
            raise UnspecifiedAddress(listen)
        return _join(host, port)
    text = advertise
    if text.partition(":")[0] == "auto":
        text = _bracketed(_own_host_towards_any(etcd)) + text.removeprefix("auto")
    if ":" not in text.rpartition("]")[2]:
        text = f"{text}:{port}"
    host, given_port = split_address(text)
    if _is_unspecified(host):
        raise UnspecifiedAddress(text)
    return text if given_port else _join(host, port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _join(host: str, port: int) -> str:
    return f"{_bracketed(host)}:{port}"


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host in {"", "*"}


def _own_host_towards_any(endpoints: Sequence[str]) -> str:
    # The name of a member that is away may not resolve, in containers for one.
    for endpoint in endpoints[:-1]:
        with contextlib.suppress(InvalidAddress):
            return _own_host_towards(endpoint)
    return _own_host_towards(endpoints[-1])


def _own_host_towards(endpoint: str) -> str:
    # Connecting a datagram socket sends nothing; it makes the kernel choose the
    # source address it would use, which is the one that others can reach.
    host, port = split_address(endpoint)
    try:
        family, kind, proto, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, proto=socket.IPPROTO_UDP
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise InvalidAddress("auto", f"no route to etcd at {endpoint}: {error}") from error


def peer_name(address: str) -> str:
    """The name of the peer at an address: `127.0.0.1:7777` is `127-0-0-1-7777`.

    Brackets of IPv6 are left out, so the name is the one Go would give.
    """
    text = address.replace("[", "").replace("]", "")
    for separator in ":./":
        text = text.replace(separator, "-")
    return check_name(text.strip("~\\!?@#$%^&*()<>+=|").strip(), Kind.PEER)
