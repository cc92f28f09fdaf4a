"""Moves that lead to balance, and to no more than that."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from grid.registry.balancing import moves
from grid.registry.registration import Registration
from grid.registry.ring import Ring


def peer(name: str, **offers: object) -> Registration:
    given = {"types": ("w", "room", "job"), "keep": (("w", 9),), "activates": ("room",), **offers}
    return Registration(f"ns.peer.{name}", name, name, (), 1, 1, 1, **given)  # type: ignore[arg-type]


def actor(type_: str, name: str, on: str) -> Registration:
    return Registration(f"ns.actor.{name}", on, on, (), 1, 1, 1, type=type_)


@given(st.lists(st.tuples(st.sampled_from(["w", "room", "job"]), st.sampled_from("abc"))))
def test_after_the_moves_there_is_balance(placed: list[tuple[str, str]]) -> None:
    peers = [peer(name) for name in "abc"]
    actors = [actor(type_, f"{type_}-{n}", on) for n, (type_, on) in enumerate(placed)]
    found = moves(peers, actors)
    there = {one.key.rpartition(".")[2]: (one.type, one.peer) for one in actors}
    for one in found:
        assert there[one.name] == (one.type, one.source)
        there[one.name] = one.type, one.target
    assert len({one.name for one in found}) == len(found)
    load = Counter(dict.fromkeys("abc", 0))
    load.update(on for type_, on in there.values() if type_ == "w")
    assert max(load.values()) - min(load.values()) <= 1
    ring = Ring("abc")
    assert all(ring.owner(name) == on for name, (type_, on) in there.items() if type_ == "room")
    assert not any(one.type == "job" for one in found)  # neither kept, activated nor movable
    again = [actor(type_, name, on) for name, (type_, on) in there.items()]
    assert moves(peers, again) == []


def test_actors_of_a_peer_that_drains_and_other_types_stay() -> None:
    peers = [peer("a", types=()), peer("b"), peer("c", moves=("job",))]
    actors = [actor("w", f"w-{n}", "a") for n in range(4)]
    assert moves(peers, actors) == []
    actors = [actor("w", f"w-{n}", "b") for n in range(4)]
    assert [one.target for one in moves(peers, actors)] == ["c", "c"]
    assert moves(peers, actors, types=["room"]) == []
    jobs = [actor("job", f"job-{n}", "b") for n in range(20)]
    assert {one.target for one in moves(peers, jobs)} == {"c"}
