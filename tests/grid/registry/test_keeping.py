"""The steps that lead to the actors that a namespace keeps."""

import pytest

from grid.errors import InvalidArgument
from grid.registry.entities import Entity, Kind
from grid.registry.keeping import Amount, Pacing, Start, Steps, check_keep, declared, steps


def peer(name: str, *types: str, epoch: int = 1, **keep: Amount) -> Entity:
    return Entity(
        Kind.PEER, name, name, "", epoch, 1, types=(*types, *keep), keep=tuple(keep.items())
    )


def actor(name: str, at: str, type: str = "w") -> Entity:  # noqa: A002
    return Entity(Kind.ACTOR, name, at, "", 1, 1, type=type)


def test_so_many_are_spread_over_the_peers_that_define_the_type() -> None:
    peers = [peer("a", w=4), peer("b", "w"), peer("c", "other")]
    assert steps(peers, [actor("w-1", "a")]) == Steps(
        (Start("w", "w-0", "b"), Start("w", "w-2", "a"), Start("w", "w-3", "b"))
    )


def test_one_on_each_peer_that_defines_the_type() -> None:
    peers = [peer("a", w="each-peer"), peer("b", "w"), peer("c", "other")]
    assert steps(peers, [actor("w-a", "a")]).starts == (Start("w", "w-b", "b"),)
    wrong = steps(peers, [actor("w-a", "b"), actor("w-b", "b")])
    assert wrong == Steps((), ("w-a",))


def test_surplus_numbers_are_stopped_and_nothing_else() -> None:
    there = ["w-0", "w-1", "w-2", "w-10", "w-02", "w-x", "w"]
    actors = [*(actor(name, "a") for name in there), actor("w-7", "a", "other")]
    assert steps([peer("a", w=2)], actors) == Steps((), ("w-2", "w-10"))


def test_the_peer_that_joined_last_says_how_many() -> None:
    peers = [peer("new", epoch=9, w=1, v=2), peer("old", epoch=3, w=5, u=7)]
    assert declared(peers) == {"w": 1, "v": 2, "u": 7}
    assert steps([], []) == Steps()


def test_a_name_of_another_type_is_left_alone() -> None:
    found = steps([peer("a", w=1)], [actor("w-0", "a", "other")])
    assert found == Steps((), (), ("w-0",))


def test_peers_that_cannot_be_reached_are_avoided() -> None:
    peers = [peer("a", w=2), peer("b", "w")]
    assert [one.peer for one in steps(peers, [], {"a"}).starts] == ["b", "b"]
    assert [one.peer for one in steps(peers, [], {"a", "b"}).starts] == ["", ""]
    assert steps([peer("a", w="each-peer")], [], {"a"}).starts == (Start("w", "w-a", ""),)


def test_starts_of_one_name_get_rarer_while_they_are_many() -> None:
    pacing, at, waits = Pacing(), 100.0, []
    assert pacing.wait("w-0", at) == 0
    for _ in range(12):
        pacing.started("w-0", at)
        waits.append(pacing.wait("w-0", at))
        at += waits[-1]
        assert pacing.wait("w-0", at) == 0
    assert waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert max(waits) <= 30
    assert pacing.wait("w-1", at) == 0
    pacing.started("w-0", at)
    assert pacing.wait("w-0", at + 60) == 0


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "3", "each", b"each-peer"])
def test_wrong_amounts_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="each-peer"):
        check_keep(wrong)  # type: ignore[arg-type]
