"""Short leases, leases that are taken from peers, and actors that say why they were cancelled."""

import asyncio

import grpc.aio
import pytest

import grid
from grid.etcd import api_pb2
from grid.etcd.stubs import stub

__all__ = ["define_holder", "lease", "revoke"]


@pytest.fixture
def lease() -> float:
    """A short one; import it into a module of tests that see what ends with a lease.

    A peer looks at its lease, its names and its address several times in these seconds.
    """
    return 2.0


async def revoke(client: grid.Client, lease: int) -> None:
    """End a lease in etcd, behind the back of its peer."""
    async with grpc.aio.insecure_channel(client._etcd.config.endpoints[0]) as channel:
        await stub(channel, "Lease/LeaseRevoke")(api_pb2.LeaseRevokeRequest(ID=lease))


def define_holder(server: grid.Server) -> list[object]:
    """Define the type `hold`, which waits to be cancelled; returns the reasons it is given."""
    reasons: list[object] = []

    @server.actor("hold", mailbox=2)
    async def holds(ctx: grid.ActorContext) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as cancelled:
            reasons.extend(cancelled.args)
            raise

    return reasons
