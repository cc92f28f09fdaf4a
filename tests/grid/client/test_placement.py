"""Actors are started where they may run: by name or key, by load, by slots, by a function."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest

import grid
from grid.client.placement import PeerLoad, able, chosen, least_loaded
from grid.errors import InvalidArgument, NotPlaced, PeerFull, UnregisteredMailbox
from grid.registry.registration import Registration
from grid.testing import wait_until

Servers = Callable[..., grid.Server]


def peer(name: str, *types: str, session: int = 1, tags: Iterable[str] = ()) -> Registration:
    return Registration(
        f"n.peer.{name}", name, name, tuple(tags), 1, 1, session=session, types=types
    )


def test_able_are_those_that_define_the_type_and_go_peers() -> None:
    peers = [peer("a", "t"), peer("b", "u"), peer("go", session=0), peer("c", "t", tags=["gpu"])]
    assert set(able(peers, "t", ())) == {"a", "go", "c"}
    assert set(able(peers, "t", ["gpu"])) == {"c"}
    assert set(able(peers, "late", ())) == {"a", "b", "go", "c"}
    assert able(peers, "t", ["tpu"]) == {}


def test_the_least_loaded_come_first_and_full_ones_not_at_all() -> None:
    loads = [
        PeerLoad("busy", (), 9, 10),
        PeerLoad("full", (), 4, 4),
        PeerLoad("half", (), 2, 4),
        PeerLoad("free-b", (), 3),
        PeerLoad("free-a", (), 3),
    ]
    assert least_loaded(loads) == ["free-a", "free-b", "half", "busy"]
    assert chosen(lambda found: (one.name for one in found if one.free), loads)[0] == "busy"
    assert chosen(lambda found: found[1].name, loads) == ["full"]
    with pytest.raises(InvalidArgument, match="names of the peers"):
        chosen(lambda _: ["other"], loads)


async def act(ctx: grid.ActorContext) -> None:
    await ctx.stopping.wait()


async def start(make: Servers, *names: str, **options: object) -> list[grid.Server]:
    servers = [make(name=name, **options) for name in names]
    for server in servers:
        server.actor("t")(act)
        await server.start()
    return servers


async def test_actors_are_spread_and_slots_hold(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    await start(grid_servers, "a", "b", slots=2)
    found = [await grid_client.start_actor("t", name=f"t{n}", place="spread") for n in range(3)]
    assert sorted(Counter(found).values()) == [1, 2]
    starts = (grid_client.start_actor("t", name=f"u{n}") for n in range(3))
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(one) for one in outcomes].count(NotPlaced) == 2
    with pytest.raises(PeerFull, match="no free slot of its 2"):
        await grid_client.start_actor("t", name="v", peer="a")
    with pytest.raises(NotPlaced, match=r"a: .*no free slot of its 2; b: ") as raised:
        await grid_client.start_actor("t", name="v", key="k")
    assert set(raised.value.refusals) == {"a", "b"}
    assert raised.value.asked
    # One that runs is found all the same.
    assert await grid_client.start_actor("t", name="t0", if_exists="return") == found[0]


async def test_a_placement_that_no_peer_satisfies_says_why_for_each(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    with pytest.raises(UnregisteredMailbox, match="'a peer'"):
        await grid_client.start_actor("t", annotations=["gpu"])
    await start(grid_servers, "a", slots=1)
    await start(grid_servers, "b", annotations=("gpu",), slots=1)
    with pytest.raises(NotPlaced) as raised:
        await grid_client.start_actor("t", annotations=["gpu", "zone=a"])
    assert raised.value.refusals == {
        "a": "it has no annotation gpu, zone=a",
        "b": "it has no annotation zone=a",
    }
    assert not raised.value.asked
    for number in range(2):
        await grid_client.start_actor("t", name=f"t{number}", place="spread")
    with pytest.raises(NotPlaced, match="no free slot of its 1") as raised:
        await grid_client.start_actor("t", place="spread")
    assert set(raised.value.refusals) == {"a", "b"}


async def test_the_leader_and_the_keeper_take_no_slot(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers(name="a", slots=2)
    server.actor("leader")(act)
    server.actor("kept", keep=1)(act)
    server.actor("t")(act)
    await server.start()

    async def all_run() -> bool:
        names = {one.name for one in await grid_client.query("actor")}
        return {"leader", "grid-keeper", "kept-0"} <= names

    await wait_until(all_run, "they run", timeout=30)
    await grid_client.start_actor("t")
    with pytest.raises(PeerFull):
        await grid_client.start_actor("t", name="t1")
    loads: list[PeerLoad] = []

    def none(found: Sequence[PeerLoad]) -> list[str]:
        loads.extend(found)
        return []

    with pytest.raises(NotPlaced):
        await grid_client.start_actor("t", name="t1", place=none)
    assert [(one.actors, one.slots, one.free) for one in loads] == [(2, 2, False)]


def test_the_text_of_a_placement_names_a_few_peers() -> None:
    error = NotPlaced("t", {f"peer-{number}": "full" for number in range(1000)})
    assert str(error).endswith("peer-7: full; and 992 more")


async def test_a_key_and_a_function_choose_the_peer(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    await start(grid_servers, "a", "b", "c")
    together = {await grid_client.start_actor("t", name=f"k{n}", key="tenant") for n in range(6)}
    assert len(together) == 1
    seen: list[PeerLoad] = []

    def last(loads: Sequence[PeerLoad]) -> list[str]:
        seen.extend(loads)
        return [max(one.name for one in loads)]

    assert await grid_client.start_actor("t", name="f", place=last) == "c"
    assert sum(one.actors for one in seen) == 6
    with pytest.raises(NotPlaced, match="the function given as place did not choose it") as raised:
        await grid_client.start_actor("t", name="g", place=lambda _: [])
    assert set(raised.value.refusals) == {"a", "b", "c"}
    for wrong in ({"place": "random"}, {"key": 7}):
        with pytest.raises(InvalidArgument):
            await grid_client.start_actor("t", **wrong)


async def test_a_drained_peer_ends_its_actors_and_leaves(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    drained, _ = await start(grid_servers, "a", "b")
    await grid_client.start_actor("t", peer="a")
    await grid_client.drain_peer("a")

    async def left() -> bool:
        return {one.name for one in await grid_client.query("peer")} == {"b"}

    await wait_until(left, "the peer has left", timeout=30)
    assert await grid_client.query("actor") == []
    assert str(drained.state) == "stopped"
    with pytest.raises(UnregisteredMailbox):
        await grid_client.drain_peer("a")
