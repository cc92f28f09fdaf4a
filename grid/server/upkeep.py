"""Upkeep of a peer while it is a member: its names in etcd, and its descriptors.

A key of the peer that is deleted in etcd, by hand or by a script, leaves an
owner without its name: another may take it, so the owner has to end. etcd says
which keys a lease has; a key counts as deleted when two looks in a row miss it,
as one look may fall between a free and its answer. The lock of the address has
no owner but the peer, so it is put back.

A process without a free descriptor accepts nothing, and gRPC says nothing of
it: the peer says so itself, and is not healthy meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable

from grid.errors import EtcdError, LeaseLost
from grid.etcd import EtcdClient
from grid.registry.membership import Membership

__all__ = ["watch_descriptors", "watch_names"]

_log = logging.getLogger("grid.server")

_SHORTEST_PERIOD = 0.5  # seconds between looks
_SECONDS_PER_NAME = 0.001  # a list of many names is asked for less often


async def watch_names(
    etcd: EtcdClient, membership: Membership, lost: Callable[[str], Awaitable[None]]
) -> None:
    """Report each name of a membership whose key is deleted, until cancelled.

    Args:
        etcd: where to look.
        membership: the lease and its names.
        lost: called with the full name.
    """
    lease, claims = membership.lease, membership.claims
    missed: dict[str, int] = {}
    while True:
        period = max(_SHORTEST_PERIOD, lease.ttl / 4) + len(claims.held) * _SECONDS_PER_NAME
        await asyncio.sleep(period)
        held = dict(claims.held)
        try:
            there = await etcd.lease_keys(lease.id)
        except (EtcdError, LeaseLost):
            continue  # that is the affair of the lease
        missing = {key: epoch for key, epoch in held.items() if key not in there}
        for key, epoch in missing.items():
            if missed.get(key) == epoch == claims.held.get(key):
                _log.error("%s was deleted in etcd, not by this peer: its owner ends", key)
                await lost(key)
        missed = missing
        if membership.lock not in there and lease.valid:
            await _mend_lock(membership)


async def _mend_lock(membership: Membership) -> None:
    lease, lock = membership.lease, membership.lock
    try:
        mended = await membership.lock_again()
    except (EtcdError, LeaseLost):
        return  # that is the affair of the lease; or else of the next look
    if mended:
        _log.error("%s was deleted in etcd, not by this peer: it is put back", lock)
    else:
        # Two processes at one address would pass for each other.
        await lease.abandon(f"{lock} was deleted in etcd, and another process has it now")


async def watch_descriptors(set_serving: Callable[[bool], Awaitable[None]]) -> None:
    """Keep the health of a peer at NOT_SERVING while it has no free descriptor, until cancelled."""
    serving = True
    while True:
        free = _has_free_descriptor()
        if free is not serving:
            serving = free
            if free:
                _log.warning("the process has free file descriptors again")
            else:
                _log.error(
                    "the process has no free file descriptor, so no client can connect: "
                    "raise its limit (ulimit -n), or look for files that stay open"
                )
            await set_serving(serving)
        await asyncio.sleep(_SHORTEST_PERIOD)


def _has_free_descriptor() -> bool:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return True
