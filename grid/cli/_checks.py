"""The checks of `grid doctor`."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from grid.cli._output import plain
from grid.errors import EtcdAuthFailed, EtcdPermissionDenied, GridError, SecurityError

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.etcd import EtcdClient, EtcdConfig, KeyValue
    from grid.registry.entities import Entity
    from grid.tls import TLS

__all__ = ["Finding", "examine", "version_warning"]

_EXPERIMENT = "-event_engine_client"
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # all that gRPC reads
_TIMEOUT = 2.0
_INCONSISTENT = {"3.5.0", "3.5.1", "3.5.2"}
_SLOW = 0.1  # seconds: an etcd this slow to answer makes leases fragile


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        check: the subject, for example `etcd 127.0.0.1:2379`.
        state: `note` is worth knowing and no failure.
        detail: the observation.
        fix: the remedy; empty if there is nothing to do.
    """

    check: str
    state: Literal["ok", "note", "failed"]
    detail: str
    fix: str = ""


async def examine(
    config: EtcdConfig, namespace: str, tls: TLS | None = None
) -> AsyncIterator[Finding]:
    """Every finding, as soon as it is made; what needs etcd only if etcd answers."""
    from grid.client.client import Client
    from grid.etcd import EtcdClient

    for finding in _machine():
        yield finding
    async with EtcdClient(config) as etcd:
        endpoints = await asyncio.gather(*(_endpoint(etcd, one) for one in config.endpoints))
        for finding in endpoints:
            yield finding
        if all(finding.state == "failed" for finding in endpoints):
            return
        access = await _access(etcd)
        yield access
        if access.state == "failed":
            return
        async with Client(namespace, etcd=etcd, timeout=_TIMEOUT, tls=tls) as client:
            async for finding in _grid(etcd, client):
                yield finding


def _machine() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for package in ("grpcio", "protobuf", "uvloop"):
        try:
            yield Finding(package, "ok", version(package))
        except PackageNotFoundError:
            yield Finding(package, "note", "not installed", f"pip install {package}: it is faster")
    experiments = os.environ.get("GRPC_EXPERIMENTS", "")
    if _EXPERIMENT in experiments:
        yield Finding("poller", "ok", f"GRPC_EXPERIMENTS={experiments}")
    else:
        fix = "unset GRPC_EXPERIMENTS, and the command sets the faster one"
        yield Finding("poller", "note", f"GRPC_EXPERIMENTS={experiments!r} is slower", fix)
    yield from _proxies()


def _proxies() -> Iterator[Finding]:
    names = [name for name in _PROXIES if os.environ.get(name)]
    if names:
        detail = f"{', '.join(names)}: not used between peers, nor for etcd"
        yield Finding("proxy", "ok", detail)


# -- etcd ---------------------------------------------------------------------


async def _endpoint(etcd: EtcdClient, endpoint: str) -> Finding:
    began = time.monotonic()
    check = f"etcd {endpoint}"
    try:
        status = await etcd.status(endpoint, timeout=_TIMEOUT)
    except EtcdAuthFailed:
        return Finding(check, "note", "answers, but not to this user")
    except (GridError, OSError) as error:
        fix = "start it (grid dev module:server), or correct --etcd"
        return Finding(check, "failed", plain(str(error)), fix)
    seconds = time.monotonic() - began
    role = "leader" if status.is_leader else "follower" if status.leader_id else "without a leader"
    size, took = f"{status.db_size / 1e6:.1f} MB", f"{seconds * 1e3:.0f} ms"
    detail = f"{status.version}, {role}, {size}, answers in {took}"
    if not status.leader_id:
        return Finding(check, "failed", detail, "bring back a majority of the members")
    if status.errors:
        alarms = "; ".join(status.errors)
        return Finding(check, "failed", f"{detail}: {alarms}", "see: etcdctl alarm list")
    if warning := version_warning(endpoint, status.version):
        return Finding(check, "note", detail, warning)
    if seconds > _SLOW:
        return Finding(check, "note", detail, "give it a faster disk, or peers a longer --lease")
    return Finding(check, "ok", detail)


def version_warning(endpoint: str, version: str) -> str:
    """The advice for an etcd that is unfit for production; empty if there is none.

    An etcd on a loopback address is taken for one of development (`grid dev`).
    """
    local = endpoint.startswith(("127.", "localhost:", "[::1]:"))
    if local or version not in _INCONSISTENT:
        return ""
    return "upgrade to etcd 3.5.3 or later: after a crash members of this one can differ in data"


async def _access(etcd: EtcdClient) -> Finding:
    who = f"as {etcd.config.user!r}" if etcd.config.user else "without a user"
    try:
        await etcd.ping(timeout=_TIMEOUT)
    except EtcdAuthFailed as error:
        fix = "give --etcd-user and --etcd-password"
        return Finding("access", "failed", f"{who}: {error}", fix)
    except EtcdPermissionDenied:
        return Finding("access", "ok", f"{who}; some keys are not for this user")
    except (GridError, OSError) as error:
        return Finding(
            "access", "failed", plain(str(error)), "bring back a majority of the members"
        )
    return Finding("access", "ok", f"etcd answers {who}")


# -- the grid -----------------------------------------------------------------


async def _grid(etcd: EtcdClient, client: Client) -> AsyncIterator[Finding]:
    from grid.registry.names import Kind, prefix

    found: dict[Kind, list[Entity]] = {}
    for kind in Kind:
        try:
            stored = await etcd.get_prefix(prefix(client.namespace, kind), timeout=_TIMEOUT)
        except GridError as error:
            fix = f"let the user read the prefix {client.namespace}."
            yield Finding("registry", "failed", plain(str(error)), fix)
            return
        for finding in _malformed(stored.items):
            yield finding
        found[kind] = await client.query(kind)
    yield _contents(client.namespace, found)
    for finding in await asyncio.gather(*(_peer(client, one) for one in found[Kind.PEER])):
        yield finding
    for finding in await asyncio.gather(*(_lease(etcd, one) for one in found[Kind.PEER])):
        yield finding
    yield _leader(found[Kind.ACTOR])


def _malformed(stored: list[KeyValue]) -> Iterator[Finding]:
    from grid.registry.registration import MalformedRegistration, decode_registration

    for one in stored:
        try:
            decode_registration(one)
        except MalformedRegistration as error:
            fix = f"no client can use the name: etcdctl del {one.key}"
            yield Finding("registration", "failed", plain(str(error)), fix)
        else:
            if not one.lease:
                fix = f"it would outlive its owner: etcdctl del {one.key}"
                yield Finding("registration", "failed", f"{one.key}: has no lease", fix)


def _contents(namespace: str, found: dict[Any, list[Entity]]) -> Finding:
    counts = ", ".join(_count(len(entities), kind) for kind, entities in found.items())
    detail = f"{namespace!r} has {counts}"
    if any(found.values()):
        return Finding("namespace", "ok", detail)
    return Finding("namespace", "note", detail, "start a peer, or correct --namespace")


def _count(number: int, kind: str) -> str:
    plural = "" if number == 1 else "es" if kind == "mailbox" else "s"
    return f"{number} {kind}{plural}"


async def _peer(client: Client, peer: Entity) -> Finding:
    check = f"peer {peer.name}"
    try:
        said = await client.check(peer.name, timeout=_TIMEOUT)
    except SecurityError as error:
        return Finding(check, "failed", plain(f"at {error.address}: {error.reason}"), error.fix)
    except GridError as error:
        fix = f"is it dead, or does nothing lead to {peer.address}? Then correct its --advertise"
        return Finding(check, "failed", plain(str(error)), fix)
    if said == "SERVING":
        return Finding(check, "ok", f"serves at {peer.address}")
    return Finding(check, "failed", f"says {said}", "it drains, or lost its lease: see its log")


async def _lease(etcd: EtcdClient, peer: Entity) -> Finding:
    check = f"lease of {peer.name}"
    try:
        left, granted = await etcd.lease_time(peer.lease, timeout=_TIMEOUT)
    except GridError as error:
        return Finding(
            check, "failed", plain(str(error)), "the peer is gone or cut off: see its log"
        )
    return Finding(check, "ok", f"{left:g} of {granted:g} s left")


def _leader(actors: list[Entity]) -> Finding:
    for one in actors:
        if one.name == "leader":
            return Finding("leader", "ok", f"on {one.peer}, epoch {one.epoch}")
    return Finding(
        "leader", "note", "there is none", "define an actor 'leader' if the grid needs one"
    )
