"""The behaviour of machines, through a remote one: relations, handlers, waits, contexts, clocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Event, InvalidArgument, Machine, pipes
from rpc.machines.client import Client
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.server import Server

Remote = RemoteMachine[Any]
Served = Callable[..., AbstractAsyncContextManager[Remote]]

FREE: dict[str, Any] = {"A": {}, "B": {}, "C": {}, "D": {}}
LINKED = {
    "A": {"auto": True, "require": ["C"]},
    "B": {"multi": True, "add": ["C"]},
    "C": {"after": ["D"]},
    "D": {"add": ["C", "B"]},
}


@pytest.fixture
def served(grid_server: Peer, grid_client: GridClient) -> Served:
    """Serves a machine; the remote one of it."""

    @asynccontextmanager
    async def run(machine: Machine[Any], **options: Any) -> AsyncIterator[Remote]:
        async with (
            Server(machine, grid_server, interval=0.01),
            Client[Any](grid_client, machine.id, **options) as client,
        ):
            yield client.machine

    return run


def free(*active: str, **changed: Any) -> Machine[Any]:
    machine: Machine[Any] = Machine({**FREE, **changed}, id="m")
    machine.add(*active) if active else None
    return machine


CASES: list[tuple[str, dict[str, Any], str, list[str], list[str]]] = [
    # name, changed states, active before, mutations, active after each
    ("one state", {}, "", ["+A"], ["A"]),
    ("several states", {}, "", ["+A", "+B"], ["A", "A B"]),
    ("set", {}, "A", ["=B"], ["B"]),
    ("add", {}, "A", ["+B"], ["A B"]),
    ("remove", {}, "B C", ["-C"], ["B"]),
    ("a remove relation", {"C": {"remove": ["D"]}}, "D", ["+C"], ["C"]),
    ("both at once", {"C": {"remove": ["D"]}}, "D", ["=C D"], ["D"]),
    (
        "states that remove each other, set",
        {"C": {"remove": ["D"]}, "D": {"remove": ["C"]}},
        "D",
        ["=C", "=D"],
        ["C", "D"],
    ),
    (
        "states that remove each other, added",
        {"C": {"remove": ["D"]}, "D": {"remove": ["C"]}},
        "D",
        ["+C", "+D"],
        ["C", "D"],
    ),
    (
        "an add relation",
        {"A": {"remove": ["D"]}, "C": {"add": ["D"]}},
        "",
        ["=C", "=A C"],
        ["C D", "A C"],
    ),
    ("a requirement that holds", {"C": {"require": ["D"]}}, "", ["=C D"], ["C D"]),
    ("one that does not", {"C": {"require": ["D"]}}, "A", ["=C A"], ["A"]),
    ("auto", {"B": {"auto": True, "require": ["A"]}}, "", ["+A"], ["A B"]),
    (
        "a part of the auto states",
        {"C": {"auto": True, "require": ["B"]}, "D": {"auto": True, "require": ["B"]}},
        "A",
        ["+A"],
        ["A"],
    ),
    (
        "blocked by an implied state",
        {"A": {"remove": ["B"]}, "B": {"remove": ["A"]}, "C": {"add": ["B"]}},
        "",
        ["=C"],
        ["B C"],
    ),
    (
        "implied by a state that blocks another",
        {
            "A": {"require": ["C"]},
            "B": {"remove": ["A"]},
            "C": {"add": ["A"], "remove": ["B"]},
        },
        "",
        ["=B", "=C"],
        ["B", "A C"],
    ),
]


@pytest.mark.parametrize(("name", "changed", "active", "mutations", "after"), CASES)
async def test_relations(
    served: Served,
    name: str,
    changed: dict[str, Any],
    active: str,
    mutations: list[str],
    after: list[str],
) -> None:
    machine, local = (free(*active.split(), **changed) for _ in range(2))
    async with served(machine) as remote:
        assert {"A", "B", "C", "D", "Exception"} <= set(remote.names)
        for mutation, expected in zip(mutations, after, strict=True):
            call = {"+": "add", "-": "remove", "=": "set"}[mutation[0]]
            states = mutation[1:].split()
            result = await getattr(remote, call)(*states)
            assert result == getattr(local, call)(*states)
            assert set(remote.active) == set(expected.split())
            assert remote.clock() == local.clock() == machine.clock()
            assert str(remote) == str(machine)
            assert remote.inspect() == machine.inspect()


async def test_handlers_refuse_fail_and_get_arguments(served: Served) -> None:
    class Handled(Machine[Any], schema=FREE):
        got: list[Any]

        def BEnter(self, event: Event) -> bool:
            self.got.append(dict(event.args))
            return True

        def AExit(self) -> bool:
            return self.not_("D")

        def DEnter(self) -> bool:
            return self.is_("A")

        def CEnter(self) -> bool:
            raise ValueError("broken")

    machine = Handled(id="m")
    machine.got = []
    async with served(machine) as remote:
        assert (await remote.add("D")).canceled
        assert (await remote.set("D")).canceled
        await remote.add("B", args={"foo": "bar", "n": [1, {"x": None}]})
        assert machine.got == [{"foo": "bar", "n": [1, {"x": None}]}]
        assert (await remote.add("A", "D")).canceled
        await remote.add("A")
        await remote.add("D")
        assert (await remote.remove("A")).canceled
        assert (await remote.add("C")).canceled
        assert remote.is_("Exception")
        assert "broken" in str(remote.err)


async def test_nested_mutations_have_run_when_the_outcome_comes(served: Served) -> None:
    class Nesting(Machine[Any], schema=FREE):
        def AState(self) -> None:
            for _ in range(3):
                self.add("B")
            for _ in range(2):
                self.remove("B")

    async with served(Nesting(id="m")) as remote:
        await remote.add("A")
        assert remote.active == ("A",)


async def test_waits(served: Served) -> None:
    class Later(Machine[Any], schema=FREE):
        async def AState(self) -> None:
            await asyncio.sleep(0.01)
            self.add("B")
            await asyncio.sleep(0.01)
            self.add("C")

    async with served(Later(id="m")) as remote:
        both, other = remote.when("B", "C"), remote.when("B", "C")
        assert (await remote.set("A")).executed
        await both
        await other
        assert remote.is_("A", "B", "C")
        await remote.when("A")
        gone, mixed = remote.when_not("B", "C"), remote.when_not("A", "B")
        await remote.remove("B", "C")
        await gone
        assert not mixed.done
        await remote.remove("A")
        await mixed
        await remote.when_not("D")
        assert remote.not_("Exception")


async def test_waits_for_ticks_and_queries(served: Served) -> None:
    async with served(free("A", "B")) as remote:
        ticks = remote.when_time(["A", "B"], [5, 2])
        first = remote.when_query(lambda clock: clock["A"] > 4 * clock["B"] - 8)
        never = remote.when_query(lambda clock: clock["A"] < clock["B"])
        await remote.remove("A", "B")
        await remote.add("A", "B")
        assert not ticks.done
        await remote.remove("A")
        await remote.add("A")
        await ticks
        await first
        assert not never.done


async def test_contexts_end_with_their_states(served: Served) -> None:
    async with served(free()) as remote:
        await remote.add("A")
        context, later = remote.state_ctx("A"), remote.state_ctx("B")
        await remote.remove("A")
        assert context.expired
        await remote.add("A")
        assert context.expired
        assert not remote.state_ctx("A").expired
        assert later.expired is free().state_ctx("B").expired


async def test_times(served: Served) -> None:
    async with served(free(B={"multi": True})) as remote:
        steps = ["+A B", "+A B", "+A B C", "=D", "+D C", "-B C", "+A B", "+C"]
        seen = []
        before = remote.time("A", "B", "C", "D")
        for step in steps:
            call = {"+": remote.add, "-": remote.remove, "=": remote.set}[step[0]]
            await call(*step[1:].split())
            now = remote.time("A", "B", "C", "D")
            assert now.after(before, or_equal=True)
            assert not before.after(now, or_equal=True)
            seen.append(" ".join(map(str, now)))
            before = now
        assert seen == [
            "1 1 0 0",
            "1 3 0 0",
            "1 5 1 0",
            "2 6 2 1",
            "2 6 3 1",
            "2 6 4 1",
            "3 7 4 1",
            "3 7 5 1",
        ]
        assert remote.clock("A", "B") == {"A": 3, "B": 7}
        assert remote.tick("A") == 3
        taken = remote.time("A")
        await remote.remove("A")
        assert not remote.is_time(taken, "A")
        assert remote.was_time(taken, "A")


async def test_questions(served: Served) -> None:
    async with served(free("A", "B", B={"auto": True, "require": ["A"]})) as remote:
        assert remote.is_("A", "B")
        assert not remote.is_("A", "B", "C")
        assert not remote.not_("A", "B")
        assert remote.not_("D")
        assert remote.any_(("A", "B"), ("C",))
        assert remote.any_(("A", "B", "C"), ("A",))
        assert remote.switch("A", "B") == "A"
        assert remote.switch("C", "D") == ""


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"allowed": ["A", "B", "C"], "skipped": ["C"]}, {"A", "B"}),
        ({"allowed": ["C"]}, {"C"}),
        ({}, {"A", "B", "C", "D"}),
    ],
)
async def test_a_part_of_the_states_is_mirrored(
    served: Served, options: dict[str, Any], seen: set[str]
) -> None:
    machine = free()
    machine.add("C")
    machine.remove("C")
    async with served(machine, **options) as remote:
        machine.add("A")
        machine.add("B", "C")
        machine.add("D")
        await wait_until(lambda: set(remote.active) == seen, "the mirrored states")
        assert {name: remote.tick(name) for name in seen} == {
            name: machine.tick(name) for name in seen
        }


async def test_required_states_are_inferred_if_the_schema_is_known(served: Served) -> None:
    machine: Machine[Any] = Machine(LINKED, id="m")
    async with served(machine, states=machine.schema, allowed=["A"]) as remote:
        machine.add("C")
        await remote.when("A")
        assert set(remote.active) == {"A", "C"}


async def test_a_remote_machine_is_piped_into_a_local_one(served: Served) -> None:
    source, local = free("A"), free()
    async with served(source) as remote:
        both = pipes.bind_any(remote, local, ["A", "B"])
        pipes.bind_state(remote, local, "C", "D")
        both.sync()
        assert local.active == ("A",)
        source.add("B", "C")
        await local.when("A", "B", "D")
        source.remove("B", "C")
        await local.when_not("B", "D")
        with pytest.raises(InvalidArgument, match="a pipe is between machines"):
            pipes.bind_state(local, remote, "A")  # type: ignore[arg-type]
    assert not both.attached
