"""A Python peer in a process of its own, which speaks as the Go program does.

It says `started`, `leader up`, `leader down` and `served`, and stops when told
to, or when stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from grid import ActorContext, EchoMsg, Server, register


def emit(**line: object) -> None:
    """Write one line to stdout."""
    print(json.dumps({**line, "at": time.time()}), flush=True)


async def main(etcd: str, namespace: str, *, lease: float, lead: bool, listen: str) -> None:
    """Serve until told to stop."""
    register(EchoMsg, name="github.com/lytics/grid/v3/EchoMsg")
    server = Server(namespace, etcd=etcd, lease=lease, allow_leadership=lead, listen=listen)

    @server.actor("leader", mailbox=16)
    async def leader(ctx: ActorContext) -> None:
        emit(event="leader up")
        try:
            async for request in ctx.mailbox:
                request.respond(EchoMsg(msg=ctx.peer))
        finally:
            emit(event="leader down")

    async with server:
        emit(event="started", name=server.name, address=server.address)
        told = json.loads(await asyncio.to_thread(sys.stdin.readline) or "{}")
    if told:
        emit(id=told["id"])
    emit(event="served")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--etcd", required=True)
    arguments.add_argument("--namespace", required=True)
    arguments.add_argument("--lease", type=float, default=10.0)
    arguments.add_argument("--lead", action="store_true")
    arguments.add_argument("--listen", default="127.0.0.1:0")
    asyncio.run(main(**vars(arguments.parse_args())))
