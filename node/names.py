"""Names in the grid by which the parts of pools find each other, and their protocol's version."""

from __future__ import annotations

__all__ = [
    "AGENT_PREFIX",
    "LOG_GONE",
    "LONGEST_KIND",
    "POOL_WORKER",
    "SUPERVISOR",
    "SUPERVISOR_TYPE",
    "VERSION",
    "WORKER_TYPE",
    "agent_name",
    "agent_peer",
    "agent_type",
    "jobs_mailbox",
    "kind_of_agent",
    "peer_of_agent",
    "pool_machine",
    "process_peer",
]

VERSION = 1
"""Version of the messages between clients, agents, workers and the supervisor."""

SUPERVISOR = "pool-supervisor"
"""The mailbox of the supervisor."""

LOG_GONE = "FAILED_PRECONDITION"
"""Code of the answer about the log of a worker that is known, but no longer kept."""

SUPERVISOR_TYPE = "node.supervisor"
WORKER_TYPE = "node.worker"
AGENT_PREFIX = "pool-agent-"
LONGEST_KIND = 200
POOL_WORKER = "pool-worker"
"""Annotation of the peers that processes of workers are; `grid peers` leaves them out."""


def agent_type(kind: str) -> str:
    """The actor type of agents of a kind; a peer that defines it offers the kind."""
    return AGENT_PREFIX + kind


def kind_of_agent(type: str) -> str:  # noqa: A002
    """The kind of an agent's actor type; "" if it is no agent's."""
    return type.removeprefix(AGENT_PREFIX) if type.startswith(AGENT_PREFIX) else ""


def agent_name(kind: str, peer: str) -> str:
    """The name of the agent of a kind on a peer."""
    return f"{AGENT_PREFIX}{kind}-on-{peer}"


def pool_machine(kind: str) -> str:
    """The name of the machine of a pool."""
    return f"{kind}-pool"


def process_peer(worker: str) -> str:
    """The peer that the process of a worker is; the worker's own name is that of its machine."""
    return f"{worker}-process"


def jobs_mailbox(worker: str) -> str:
    """The mailbox to which a worker's client opens its stream."""
    return f"{worker}-jobs"


_AGENT_PEER = "agent="


def agent_peer(peer: str) -> str:
    """Annotation of a worker's process: the peer of its agent."""
    return f"{_AGENT_PEER}{peer}"


def peer_of_agent(annotations: tuple[str, ...]) -> str:
    """The peer of a process's agent; "" for peers that are none."""
    if POOL_WORKER in annotations:
        for one in annotations:
            if one.startswith(_AGENT_PEER):
                return one.removeprefix(_AGENT_PEER)
    return ""
