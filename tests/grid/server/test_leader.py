"""One leader, on a peer that allows it, and the next one as soon as it is gone."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

import grid
from grid.etcd import Change, KeyValue, WatchBatch
from grid.server.leader import Backoff, Vacancy
from grid.testing import wait_until
from tests.grid.registry_kit import grid_etcd, registry_kind

__all__ = ["grid_etcd", "registry_kind"]

Servers = Callable[..., grid.Server]


async def leader_of(client: grid.Client) -> grid.Entity | None:
    return next((one for one in await client.query("actor") if one.name == "leader"), None)


class Leaders:
    """Servers that may lead, and who does."""

    def __init__(self, make: Servers) -> None:
        self._make = make
        self.acting: list[str] = []
        self.servers: dict[str, grid.Server] = {}

    async def add(self, **options: object) -> grid.Server:
        server = self._make(**options)

        @server.actor("leader")
        async def leader(ctx: grid.ActorContext) -> None:
            self.acting.append(ctx.peer)
            try:
                await ctx.stopping.wait()
            finally:
                self.acting.remove(ctx.peer)

        await server.start()
        self.servers[server.name] = server
        return server

    async def wait(self) -> grid.Server:
        await wait_until(lambda: len(self.acting) == 1, "one leader acts")
        return self.servers[self.acting[0]]


@pytest.fixture
def leaders(grid_servers: Servers) -> Leaders:
    return Leaders(grid_servers)


async def test_there_is_one_leader(leaders: Leaders, grid_client: grid.Client) -> None:
    for _ in range(4):
        await leaders.add()
    server = await leaders.wait()
    found = await leader_of(grid_client)
    assert found is not None
    assert found.peer == server.name


async def test_a_stopped_leader_is_followed_within_a_second(
    leaders: Leaders, grid_client: grid.Client
) -> None:
    for _ in range(3):
        await leaders.add()
    for _ in range(2):
        server = await leaders.wait()
        before = await leader_of(grid_client)
        await server.stop()
        began = asyncio.get_running_loop().time()
        following = await leaders.wait()
        assert asyncio.get_running_loop().time() - began < 4  # a second, and a busy machine
        after = await leader_of(grid_client)
        assert before is not None
        assert after is not None
        assert (following.name, after.epoch > before.epoch) == (after.peer, True)


async def test_a_peer_that_may_not_lead_does_not(
    leaders: Leaders, grid_client: grid.Client
) -> None:
    await leaders.add(allow_leadership=False)
    willing = await leaders.add()
    assert await leaders.wait() is willing
    async with grid_client.watch("actor") as events:
        assert (await anext(events)).entity.peer == willing.name
        await willing.stop()
        assert isinstance(await anext(events), grid.EntityLost)
        assert await leader_of(grid_client) is None
        # The next leader is the next willing peer: the other one did not lead meanwhile.
        following = await leaders.add()
        found = await anext(events)
    assert isinstance(found, grid.EntityFound)
    assert found.entity.peer == following.name


async def test_a_leader_may_be_defined_late(grid_server: grid.Server) -> None:
    acting = asyncio.Event()

    @grid_server.actor("leader")
    async def leader(ctx: grid.ActorContext) -> None:
        acting.set()
        await ctx.stopping.wait()

    await asyncio.wait_for(acting.wait(), 10)


async def test_a_leader_that_fails_is_taken_over_by_another_peer(
    grid_servers: Servers, leaders: Leaders, caplog: pytest.LogCaptureFixture
) -> None:
    failing = grid_servers()
    tries: list[int] = []

    @failing.actor("leader")
    async def leader(ctx: grid.ActorContext) -> None:
        tries.append(ctx.epoch)
        raise ValueError("not fit to lead")

    await failing.start()
    await wait_until(lambda: tries, "the failing peer had its try")
    healthy = await leaders.add()
    assert await leaders.wait() is healthy
    assert "not fit to lead" in caplog.text


async def test_a_leader_can_be_stopped_and_comes_back(
    leaders: Leaders, grid_client: grid.Client
) -> None:
    await leaders.add()
    await leaders.wait()
    before = await leader_of(grid_client)
    await grid_client.stop_actor("leader")
    await leaders.wait()
    after = await leader_of(grid_client)
    assert before is not None
    assert after is not None
    assert after.epoch > before.epoch


# -- the rules ------------------------------------------------------------------------


def _kv(epoch: int) -> KeyValue:
    return KeyValue("ns.actor.leader", b"", epoch, epoch, 1)


def _batch(*changes: Change, snapshot: bool = False) -> WatchBatch:
    return WatchBatch(revision=99, changes=list(changes), snapshot=snapshot)


def _is_free(vacancy: Vacancy) -> bool:
    return vacancy._free.is_set()


async def test_an_absent_key_is_free() -> None:
    vacancy = Vacancy()
    assert not _is_free(vacancy)
    vacancy.seen(_batch(snapshot=True))
    assert _is_free(vacancy)


async def test_a_held_key_is_free_when_it_goes() -> None:
    vacancy = Vacancy()
    vacancy.seen(_batch(Change("k", _kv(5), None), snapshot=True))
    assert not _is_free(vacancy)
    vacancy.seen(_batch(Change("k", None, _kv(5))))
    assert _is_free(vacancy)


async def test_an_end_that_was_seen_before_the_answer_counts() -> None:
    vacancy = Vacancy()
    vacancy.seen(_batch(snapshot=True))
    vacancy.seen(_batch(Change("k", _kv(5), None), Change("k", None, _kv(5))))
    vacancy.taken(5)  # the answer to a try that lost against epoch 5 comes late
    assert _is_free(vacancy)
    vacancy.taken(6)
    assert not _is_free(vacancy)


def test_a_leader_that_ends_at_once_is_held_back_longer_each_time() -> None:
    backoff = Backoff(first=1, most=5, steady=60)
    assert [backoff.after(0) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.after(61) == 1


async def test_a_draining_peer_does_not_compete(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid.server.leader.Backoff", partial(Backoff, first=0.05))
    server = grid_servers(drain_timeout=4.0)

    @server.actor("leader")
    async def leader(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    @server.actor("slow")
    async def slow(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()
        await asyncio.sleep(0.5)  # longer than the pause after which a leader is tried again

    await server.start()
    await grid_client.start_actor("slow")
    seen: list[str] = []
    async with grid_client.watch("actor") as events:
        while {one.rpartition(" ")[2] for one in seen} != {"leader", "slow"}:
            event = await asyncio.wait_for(anext(events), 5)
            seen.append(f"{type(event).__name__} {event.entity.name}")
        seen.clear()
        await server.stop()
        while seen[-1:] != ["EntityLost slow"]:
            event = await asyncio.wait_for(anext(events), 5)
            seen.append(f"{type(event).__name__} {event.entity.name}")
    assert seen == ["EntityLost leader", "EntityLost slow"]
