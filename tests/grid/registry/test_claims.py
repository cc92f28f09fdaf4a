"""Claims whose callers leave: whatever etcd still grants is given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from grid.embedded import Etcd
from grid.errors import AlreadyRegistered, EtcdUnavailable, LeaseLost
from grid.etcd import EtcdClient, EtcdConfig, Lease, api_pb2
from grid.registry.claims import Claims
from grid.registry.registration import encode_registration
from grid.testing import wait_until


class HeldEtcd(EtcdClient):
    """A client whose transactions wait at a gate, before they go out or before they return."""

    before: asyncio.Event
    after: asyncio.Event
    begun = 0
    done = 0
    failure: EtcdUnavailable | None = None

    async def txn(
        self, request: api_pb2.TxnRequest, *, timeout: float | None = None
    ) -> api_pb2.TxnResponse:
        self.begun += 1
        await self.before.wait()
        if self.failure is not None:
            raise self.failure
        response = await super().txn(request, timeout=timeout)
        self.done += 1
        await self.after.wait()
        return response


@asynccontextmanager
async def held_claims(grid_etcd: Etcd) -> AsyncIterator[tuple[HeldEtcd, Lease, Claims]]:
    async with HeldEtcd(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        etcd.before, etcd.after = asyncio.Event(), asyncio.Event()
        etcd.before.set()
        etcd.after.set()
        lease = await etcd.open_lease(5)
        claims = Claims(etcd, lease, peer="p", address="127.0.0.1:1")
        yield etcd, lease, claims
        await claims.close()
        await lease.revoke()


def values(key: str) -> dict[str, bytes]:
    return {key: encode_registration(key, "127.0.0.1:1", "p")}


async def test_a_cancelled_claim_is_given_back_when_its_answer_comes(grid_etcd: Etcd) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        etcd.after.clear()
        claiming = asyncio.create_task(claims.claim(values("c.mailbox.a")))
        await wait_until(lambda: etcd.done == 1, "etcd to grant the name")
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        second = asyncio.create_task(claims.claim(values("c.mailbox.a")))
        for _ in range(50):  # turns of the loop, more than a claim takes until its transaction
            await asyncio.sleep(0)
        assert etcd.begun == 1  # the second one waits for the outcome of the first
        etcd.after.set()
        assert await second > 0
        assert etcd.done == 3  # claim, free, claim
        stored = await etcd.get("c.mailbox.a")
        assert stored is not None
        assert stored.create_revision == await second


async def test_a_claim_cancelled_with_its_answer_at_hand_is_given_back(
    grid_etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        settle = claims._claimed

        def settle_and_cancel(*given: Any) -> None:
            settle(*given)
            claiming.cancel()  # the answer is there, but the claim has not gone on yet

        monkeypatch.setattr(claims, "_claimed", settle_and_cancel)
        claiming = asyncio.create_task(claims.claim(values("c.mailbox.b")))
        with pytest.raises(asyncio.CancelledError):
            await claiming
        await claims.vacant(("c.mailbox.b",))
        assert await etcd.get("c.mailbox.b") is None


async def test_a_cancelled_claim_of_a_taken_name_leaves_the_owner_alone(grid_etcd: Etcd) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        other = await etcd.open_lease(5)
        await etcd.put("c.mailbox.c", values("c.mailbox.c")["c.mailbox.c"], lease=other.id)
        etcd.before.clear()
        claiming = asyncio.create_task(claims.claim(values("c.mailbox.c")))
        await wait_until(lambda: etcd.begun == 1, "the claim is sent")
        claiming.cancel()
        etcd.before.set()
        await claims.vacant(("c.mailbox.c",))
        stored = await etcd.get("c.mailbox.c")
        assert stored is not None
        assert stored.lease == other.id
        with pytest.raises(AlreadyRegistered):
            await claims.claim(values("c.mailbox.c"))
        await other.revoke()


async def test_a_cancelled_free_goes_on(grid_etcd: Etcd) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        epoch = await claims.claim(values("c.mailbox.d"))
        etcd.before.clear()
        freeing = asyncio.create_task(claims.free(("c.mailbox.d",), epoch))
        await wait_until(lambda: etcd.begun == 2, "the free is sent")
        with pytest.raises(AlreadyRegistered):
            await claims.claim(values("c.mailbox.d"))
        freeing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await freeing
        etcd.before.set()
        await wait_until(lambda: etcd.done == 2, "the name to be freed")
        assert await claims.claim(values("c.mailbox.d")) > epoch


async def test_closing_ends_all_who_wait(grid_etcd: Etcd) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        etcd.before.clear()
        claiming = [
            asyncio.create_task(claims.claim(values(f"c.mailbox.e{number}")))
            for number in range(1000)  # more than travel at once
        ]
        await wait_until(lambda: etcd.begun == 8, "as many are sent as travel at once")
        waiting = asyncio.create_task(claims.vacant(("c.mailbox.e1", "c.mailbox.e999")))
        claiming[1].cancel()
        claiming[999].cancel()
        await claims.close()
        await waiting
        ends = await asyncio.gather(*claiming, return_exceptions=True)
        assert all(isinstance(end, Exception | asyncio.CancelledError) for end in ends)
        with pytest.raises(LeaseLost):
            await claims.claim(values("c.mailbox.f"))


async def test_each_claim_of_a_batch_that_fails_has_an_error_of_its_own(grid_etcd: Etcd) -> None:
    async with held_claims(grid_etcd) as (etcd, _, claims):
        etcd.failure = EtcdUnavailable("away")
        claiming = [claims.claim(values(f"c.mailbox.{one}")) for one in "abc"]
        errors = await asyncio.gather(*claiming, return_exceptions=True)
        etcd.failure = None
        assert [str(one) for one in errors] == [str(EtcdUnavailable("away"))] * 3
        assert len({id(one) for one in errors}) == 3
