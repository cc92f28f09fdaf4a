"""Messages of a pool: instructions for its clients, and its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from node.conversions import to_capacity, to_settings
from node.policy.instructions import Grant, Loss, Recall, Refuse
from node.policy.pool import PoolPolicy
from node.pool_pb2 import AgentStatus, PoolStatus, ToClient, WorkerReport
from node.pool_pb2 import Grant as GrantMessage
from node.pool_pb2 import Loss as LossMessage
from node.pool_pb2 import Recall as RecallMessage
from node.pool_pb2 import Refusal as RefusalMessage

__all__ = ["explained", "for_client", "is_ready", "pool_status"]


def for_client(one: Grant | Loss | Recall | Refuse) -> ToClient:
    """An instruction as the message to its client."""
    claim = one.claim[1]
    match one:
        case Grant():
            return ToClient(grant=GrantMessage(claim=claim, worker=one.worker, peer=one.peer))
        case Loss():
            return ToClient(loss=LossMessage(claim=claim, worker=one.worker, reason=one.reason))
        case Recall():
            return ToClient(recall=RecallMessage(claim=claim, worker=one.worker))
        case Refuse():
            return ToClient(refusal=RefusalMessage(claim=claim, code=one.code, text=one.text))


def explained(report: WorkerReport) -> str:
    """The reason of a worker's end, and where there is more."""
    between = "\n" if "\n" in report.reason else "; "
    return f"{report.reason}{between}see: grid worker logs {report.name}"


def is_ready(report: WorkerReport) -> bool:
    """True if a worker can serve."""
    return report.state in (WorkerReport.IDLE, WorkerReport.SERVING)


def pool_status(
    kind: str,
    policy: PoolPolicy,
    reports: Mapping[str, WorkerReport],
    clients: Collection[str],
    leaving: Collection[str] = (),
) -> PoolStatus:
    """The state of a pool.

    Args:
        kind: of its workers.
        policy: of the pool.
        reports: of its workers, by name.
        clients: names of those that are connected.
        leaving: names of those that were a moment ago: their workers are about to be free.
    """
    status = PoolStatus(
        kind=kind,
        settings=to_settings(policy.settings),
        size=policy.size,
        ready=sum(one.ready for one in policy.workers.values()),
        serving=sum(bool(one.serving) for one in policy.workers.values()),
        clients=len(clients),
        waiting=sum(not one.held for one in policy.claims.values()),
        trouble=policy.trouble or policy.misplaced or orphaned(policy, {*clients, *leaving}),
        fixed=policy.order.size is not None,
    )
    for agent in policy.agents.values():
        status.agents.append(
            AgentStatus(
                peer=agent.peer,
                count=agent.count or 0,
                trouble=agent.trouble,
                draining=agent.draining or agent.drained,
                drained=agent.drained,
                pending=agent.pending,
                capacity=to_capacity(agent.capacity),
                refusal=agent.refusal,
                workers=[
                    reports.get(one.name, WorkerReport(name=one.name))
                    for one in policy.workers.values()
                    if one.peer == agent.peer
                ],
            )
        )
    return status


def orphaned(policy: PoolPolicy, clients: Collection[str]) -> str:
    """Why no worker is free, if all of them serve clients that are gone; "" if that is not so."""
    workers = policy.workers.values()
    gone = {one.serving for one in workers if one.serving and one.serving not in clients}
    if not workers or not all(one.serving in gone for one in workers):
        return ""
    if len(workers) < policy.size:  # others are about to come
        return ""
    each = "the only worker serves" if len(workers) == 1 else f"all {len(workers)} workers serve"
    which = "a client that is" if len(gone) == 1 else "clients that are"
    names = ", ".join(sorted(gone))
    return f"{each} {which} gone: {names}; to free one: grid worker kill {min(policy.workers)}"
