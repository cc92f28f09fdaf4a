"""Elections of a peer: for the leader, and for the keeper where actors are to be kept."""

from __future__ import annotations

import asyncio

from grid.etcd import EtcdClient
from grid.registry.names import Kind, full_name
from grid.server.actors import ActorRunner
from grid.server.definitions import Definition
from grid.server.keeper import KEEPER, Keeper
from grid.server.leader import LEADER, lead

__all__ = ["start_elections"]


def start_elections(
    etcd: EtcdClient, namespace: str, runner: ActorRunner
) -> list[asyncio.Task[None]]:
    """Compete for what a peer may be elected for; the tasks run until they are cancelled."""
    types = [LEADER]
    if runner.offers().keep:
        runner.define(Definition(KEEPER, lambda _: Keeper(etcd), internal=True))
        types.append(KEEPER)
    return [
        asyncio.create_task(
            lead(etcd, full_name(namespace, Kind.ACTOR, type_), runner, type_),
            name=f"leadership of {type_}",
        )
        for type_ in types
    ]
