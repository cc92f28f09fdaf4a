"""Elections of a peer: for the leader, for the keeper where actors are to be kept, and for the
sender of reminders once there are any.
"""

from __future__ import annotations

import asyncio

from grid.etcd import EtcdClient
from grid.registry.names import Kind, full_name
from grid.server.actors import ActorRunner
from grid.server.definitions import Definition
from grid.server.keeper import KEEPER, Keeper
from grid.server.leader import LEADER, lead
from grid.server.reminders import REMINDERS, ReminderSender, wait_for_reminders

__all__ = ["start_elections"]


def start_elections(
    etcd: EtcdClient, namespace: str, runner: ActorRunner
) -> list[asyncio.Task[None]]:
    """Compete for what a peer may be elected for; the tasks run until they are cancelled."""
    types = [LEADER]
    if runner.offers().keep:
        runner.define(Definition(KEEPER, lambda _: Keeper(etcd), internal=True))
        types.append(KEEPER)
    runner.define(Definition(REMINDERS, lambda _: ReminderSender(etcd), internal=True))

    async def lead_reminders(key: str) -> None:
        await wait_for_reminders(etcd, namespace)
        await lead(etcd, key, runner, REMINDERS)

    def compete(type_: str) -> asyncio.Task[None]:
        key = full_name(namespace, Kind.ACTOR, type_)
        leading = lead_reminders(key) if type_ == REMINDERS else lead(etcd, key, runner, type_)
        return asyncio.create_task(leading, name=f"leadership of {type_}")

    return [compete(type_) for type_ in (*types, REMINDERS)]
