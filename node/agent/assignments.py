"""Assignments for the processes of workers."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

from grid.server.config import ServerConfig
from node.worker.definition import WorkerDefinition
from node.worker.process import Assignment

__all__ = ["assignment"]


def assignment(
    definition: WorkerDefinition,
    config: ServerConfig,
    *,
    worker: str,
    peer: str,
    address: str,
    beat: float,
) -> Assignment:
    """The assignment of a worker.

    Args:
        definition: of its kind.
        config: of its agent's peer.
        worker: its name.
        peer: the name of its agent's peer.
        address: of that peer.
        beat: seconds between two signs of life.
    """
    host = address.rpartition(":")[0]
    listen_host = config.listen.rpartition(":")[0]
    settings = definition.settings
    return Assignment(
        worker=worker,
        kind=definition.kind,
        module=definition.origin.module,
        path=definition.origin.path,
        parent=os.getpid(),
        peer=peer,
        beat=beat,
        job_timeout=settings.job_timeout,
        grace=settings.grace,
        arguments=sys.argv,
        namespace=config.namespace,
        etcd=asdict(config.etcd),
        listen=f"{listen_host}:0",
        advertise=host if config.advertise is not None else None,
        # A job may hold up the event loop, which keeps the lease alive. It is the agent who knows
        # whether the process lives, and who then frees its names.
        lease=max(config.lease, settings.heartbeat),
        max_message_bytes=config.max_message_bytes,
        unix_socket=config.unix_socket,
        tls=None if config.tls is None else config.tls.plain(),
    )
