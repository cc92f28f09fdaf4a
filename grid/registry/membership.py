"""A peer's membership: its lease, its address, and the names held under them.

To join is to be granted a lease, which is kept alive from that moment, and to
take the address lock under it: a process that is started again on the address
of a crashed one waits until the old lease has ended, so that it never passes
for the owner of names it does not back. The lock is a create-if-absent, so two
processes never hold one address, and the wait is a watch, so it ends with the
old lease and not at the next poll.
"""

from __future__ import annotations

import asyncio

from grid.errors import AddressLocked, LeaseLost, LeaseTooShort
from grid.etcd import EtcdClient, Lease, api_pb2
from grid.registry.claims import Claims
from grid.registry.names import address_lock_key

__all__ = [
    "MINIMUM_LEASE",
    "Membership",
    "check_lease",
    "is_locked",
    "join",
    "release_dead",
    "wait_gone",
]

_PROBE = 1.0  # seconds for a connection to an address of this machine
MINIMUM_LEASE = 2.0  # seconds; etcd grants no less with its default election timeout


def check_lease(seconds: float) -> float:
    """The seconds themselves, unless too short: then raises `LeaseTooShort`."""
    if seconds < MINIMUM_LEASE:
        raise LeaseTooShort(seconds, MINIMUM_LEASE)
    return seconds


class Membership:
    """A lease and its claims. It ends with the lease, or by `leave`.

    Attributes:
        lease: the lease.
        claims: the names under it.
        lock: the key in etcd that keeps other processes from the address.
    """

    def __init__(self, etcd: EtcdClient, lease: Lease, claims: Claims, address: str) -> None:
        self._etcd = etcd
        self.lease = lease
        self.claims = claims
        self.lock: str = address_lock_key(address)

    async def lock_again(self) -> bool:
        """Take the lock of the address once more; False if another process has it by now."""
        return await _take(self._etcd, self.lock, self.lease.id)

    async def leave(self, *, revoke: bool = True, timeout: float | None = None) -> None:
        """End the lease; with `revoke` all its names are free at once, else after its time.

        Args:
            timeout: seconds to try to tell etcd; by default at most the lease's.
        """
        await self.claims.close()
        if revoke:
            await self.lease.revoke(timeout=timeout)
        else:
            await self.lease.abandon()


async def join(etcd: EtcdClient, *, lease: float, address: str, peer: str) -> Membership:
    """Become a member under an address.

    Cancelling it gives back what was taken so far.

    Raises:
        AddressLocked: another process held the address for twice the lease.
        EtcdUnavailable: etcd does not answer.
        LeaseLost: the lease ended while the address was waited for.
    """
    granted = await etcd.open_lease(check_lease(lease))
    try:
        await _lock_address(etcd, granted, address, patience=2 * lease)
    except BaseException:
        await granted.revoke()
        raise
    claims = Claims(etcd, granted, peer=peer, address=address)
    return Membership(etcd, granted, claims, address)


async def is_locked(etcd: EtcdClient, address: str) -> bool:
    """True if a peer has the address, or had it and its lease has not ended."""
    return await etcd.get(address_lock_key(address)) is not None


async def release_dead(etcd: EtcdClient) -> list[str]:
    """End the leases of dead peers of this machine; the addresses that they had.

    A peer is dead if its address is a loopback address where nothing listens. It is meant
    for an etcd whose peers were killed together with it: their leases have all their time
    again once it is started.
    """
    locks = (await etcd.get_prefix(address_lock_key(""))).items
    released = []
    for lock in locks:
        address = lock.key.removeprefix(address_lock_key(""))
        if lock.lease and await _is_dead(address):
            await etcd.revoke(lock.lease)
            released.append(address)
    return released


async def _is_dead(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host.startswith(("127.", "[::1]")) or not port.isdigit():
        return False
    try:
        async with asyncio.timeout(_PROBE):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except ConnectionRefusedError:
        return True
    except (OSError, OverflowError):
        return False
    writer.transport.abort()
    return False


async def _lock_address(etcd: EtcdClient, lease: Lease, address: str, patience: float) -> None:
    key = address_lock_key(address)
    try:
        async with asyncio.timeout(patience):
            while not await _take(etcd, key, lease.id):
                await wait_gone(etcd, key)
                if not lease.valid:
                    raise LeaseLost
    except TimeoutError:
        raise AddressLocked(address) from None


async def _take(etcd: EtcdClient, key: str, lease: int) -> bool:
    name = key.encode()
    request = api_pb2.TxnRequest()
    request.compare.add(
        result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=name, version=0
    )
    put = request.success.add().request_put
    put.key, put.lease = name, lease
    request.failure.add().request_range.key = name
    response = await etcd.txn(request)
    if response.succeeded:
        return True
    # After a lost answer the lock may be there from the first try.
    return any(kv.lease == lease for kv in response.responses[0].response_range.kvs)


async def wait_gone(etcd: EtcdClient, key: str) -> None:
    """Return once a key is not there any more."""
    async with etcd.watch(key, exact=True) as watch:
        async for _ in watch:
            if not watch.current:
                return
