"""Machines that actors expose."""

from __future__ import annotations

from typing import Any

import grid
from grid.errors import AlreadyRegistered, GridError, InvalidArgument
from grid.registry.names import Kind
from grid.testing import wait_until
from machine import Machine
from rpc.machines.client import Client
from tests.rpc.machines.kit import SCHEMA


async def exposed(client: grid.Client) -> set[str]:
    return {one.name for one in await client.query(Kind.MAILBOX)}


async def test_an_actor_exposes_a_machine_until_it_ends(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")

    async def act(ctx: grid.ActorContext) -> None:
        served = await ctx.expose(machine, interval=0.01)
        assert served.machine is machine
        async with ctx.expose(Machine(SCHEMA, id="other"), name="for-a-while"):
            pass
        await machine.when("A")
        machine.add("B")
        await ctx.stopping.wait()

    grid_server.define("lights", lambda _: act)
    await grid_client.start_actor("lights")
    async with Client[Any](grid_client, "lights") as client:
        await client.machine.add("A")
        await client.machine.when("B")
    assert "for-a-while" not in await exposed(grid_client)
    await grid_client.stop_actor("lights")
    assert "lights" not in await exposed(grid_client)
    assert not machine.tracers


async def test_a_blocking_actor_exposes_a_machine_until_it_ends(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    calls: list[Any] = []

    def act(ctx: grid.sync.BlockingContext) -> None:
        with ctx.expose(Machine(SCHEMA, id="other"), name="for-a-while") as other:
            assert other.served.name == "for-a-while"
        exposed = ctx.expose(machine, interval=0.01)
        machine.when("A").wait(20)
        (mirror,) = exposed.served.mirrors
        calls.append(exposed.run(lambda server: server.call(mirror.id, "double", number=21)))
        machine.add("B")  # in this thread
        ctx.wait_stopping()

    grid_server.define("lights", lambda _: act)
    await grid_client.start_actor("lights")
    getters = {"double": lambda number: 2 * number}
    async with Client[Any](grid_client, "lights", getters=getters) as client:
        assert (await client.machine.add("A")).executed
        await client.machine.when("B")
    assert calls == [42]
    assert "for-a-while" not in await exposed(grid_client)
    await grid_client.stop_actor("lights")
    assert "lights" not in await exposed(grid_client)
    assert not machine.tracers


async def test_a_blocking_actor_that_fails_exposes_nothing(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    errors: list[Exception] = []
    machine: Machine[Any] = Machine(SCHEMA, id="lights")

    def act(ctx: grid.sync.BlockingContext) -> None:
        ctx.expose(machine)
        for subject in (object(), Machine(SCHEMA, id="lights")):
            try:
                ctx.expose(subject)
            except GridError as error:
                errors.append(error)
        raise ValueError("as asked")

    grid_server.define("lights", lambda _: act)
    await grid_client.start_actor("lights")
    await wait_until(lambda: not machine.tracers and len(errors) == 2, "the actor has failed")
    assert [type(one) for one in errors] == [InvalidArgument, AlreadyRegistered]

    async def free() -> bool:
        return "lights" not in await exposed(grid_client)

    await wait_until(free, "the name to be free")


async def test_a_run_that_fails_leaves_the_name_to_the_next(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    runs = 0

    async def act(ctx: grid.ActorContext) -> None:
        nonlocal runs
        runs += 1
        machine: Machine[Any] = Machine(SCHEMA, id="lights")
        await ctx.expose(machine)
        if runs == 1:
            raise ValueError("the first run fails")
        machine.add("A")
        await ctx.stopping.wait()

    policy = grid.Restart("on-failure")
    grid_server.define("lights", lambda _: act, restart=policy)
    await grid_client.start_actor("lights")
    await wait_until(lambda: runs == 2, "the second run", timeout=20)
    async with Client[Any](grid_client, "lights") as client:
        await client.machine.when("A")


async def test_other_objects_are_refused(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    refused: list[InvalidArgument] = []

    async def act(ctx: grid.ActorContext) -> None:
        try:
            ctx.expose(object())
        except InvalidArgument as error:
            refused.append(error)

    grid_server.define("lights", lambda _: act)
    await grid_client.start_actor("lights")
    await wait_until(lambda: bool(refused), "it was refused")
    assert "an object that an installed package exposes" in str(refused[0])
