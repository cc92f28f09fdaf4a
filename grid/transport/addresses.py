"""Addresses of peers: how they are parsed, and which one a peer gives out."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from grid.errors import EtcdUnavailable, InvalidAddress, UnspecifiedAddress

__all__ = ["advertised_address", "split_address"]


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[ipv6]:port` or `dns:///host:port`.

    Raises:
        InvalidAddress: it is none of these.
    """
    text = address.removeprefix("dns:///")
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise InvalidAddress(address, "must be host:port")
    if any(map(str.isspace, text)):
        raise InvalidAddress(address, "must have no blanks")
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
        listen: the address that the server was asked to listen on.
        advertise: the address to give out; a host alone gets the bound port;
            `"auto"` is this machine's address on the way to etcd; None is the
            listen address.
        port: the port that was bound.
        etcd: the endpoints of etcd, for `"auto"`; the first that has an address counts.

    Raises:
        UnspecifiedAddress: no other host could dial the result.
        InvalidAddress: `advertise` is not `host[:port]`.
        EtcdUnavailable: with `"auto"`, no endpoint of etcd has an address now.
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
        with contextlib.suppress(EtcdUnavailable):
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
        raise EtcdUnavailable(f"no way to {endpoint}: {error}") from error
