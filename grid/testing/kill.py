"""The abrupt end of a server in the test's own process."""

from __future__ import annotations

from grid.server.server import Server, cut

__all__ = ["kill"]


async def kill(server: Server) -> None:
    """End a server as `kill -9` ends its process: no drain, no farewell.

    Requests that it holds end as `OutcomeUnknown`, its sessions and streams break, its port is
    closed, and its actors are cancelled. Nothing tells etcd: its names stay until its lease is
    over (`MemoryRegistry.expire` does not wait for that). When it returns, no task, socket or
    connection of the server is left, unless an actor goes on when it is cancelled.

    Unlike in a process that is killed, the `finally` blocks of actors run, and resources are
    left. What actors save in `ctx.state` from then on fails as `StoreUnavailable`.

    Args:
        server: one that runs on this event loop; `stop` does nothing afterwards.

    Raises:
        InvalidArgument: it is no server, or does not run.
        WrongEventLoop: it runs on another event loop.
    """
    await cut(server, "the peer was killed")
