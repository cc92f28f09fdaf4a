"""Remote machines against recordings of the Go implementation: outcomes and clocks of each step.

Scenarios are those that local machines are held to. Mutations come through the remote machine;
checks (`can_add`, `can_remove`) and `prepend`, which it does not have, are made at the source.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from machine.waits.result import Result
from rpc.machines.client import Client
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.server import Server
from tests.machine.original.records import Record, Step, load
from tests.machine.original.replay import OPERATION, Boom, Player, shown

EVERY = 40
CHUNKS = 5


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Handlers raise by the hundred: none of that is news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@functools.cache
def records() -> list[Record]:
    return [one for one in load()[::EVERY] if not one.deviation]


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_a_remote_machine_does_what_the_original_does(
    grid_server: Peer, grid_client: GridClient, chunk: int
) -> None:
    some = records()[chunk::CHUNKS]
    assert some
    for number, record in enumerate(some):
        player = Player(record, traced=False)
        async with (
            Server(player.machine, grid_server, name=f"recorded{number}", interval=0),
            Client[Any](grid_client, f"recorded{number}") as client,
        ):
            for step in record.steps:
                result = await _perform(player, client.machine, step.operation)
                _compare(record, step, shown(result, True), client.machine)
        player.machine.dispose_now()


async def _perform(player: Player, remote: RemoteMachine[Any], operation: str) -> Result:
    found = OPERATION.fullmatch(operation)
    assert found, operation
    mark, names = found.groups()
    states = names.split(",") if names else []
    if mark == "err":
        return await remote.add_err(Boom(operation))
    if mark == "err!":
        return await remote.add_err_state(states[0], Boom(operation))
    if mark[0] in "?^":
        result = player.act(operation)
        await remote.sync()
        return result
    args = {"x": 1} if mark.endswith("#") else None
    calls = {"+": remote.add, "-": remote.remove, "=": remote.set, "~": remote.toggle}
    return await calls[mark.removesuffix("#")](*states, args=args)


def _compare(record: Record, step: Step, result: str, remote: RemoteMachine[Any]) -> None:
    where = f"{record.schema} after {step.operation}"
    assert result == step.result, where
    assert " ".join(str(remote.tick(name)) for name in remote.names) == step.ticks, where
    assert set(remote.active) == set(step.active.split()), where
    assert remote.queue_tick == step.queue_tick, where
