"""The work that `bench.instructions` counts: `python instructed.py CASE ROUNDS ETCD NAMESPACE`.

It runs in older checkouts, too, so it uses public names that have been there for long.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grid
from grid.wire_pb2 import EchoMsg
from machine import Machine, Schema

_SCHEMA = Schema.parse("Idle -Busy; Busy -Idle")
_WARM = 50
_SECONDS = 600.0  # under valgrind everything takes fifty times as long


class _Listener:
    def IdleEnter(self) -> None: ...  # noqa: N802 - the name of a handler
    def IdleState(self) -> None: ...  # noqa: N802
    def BusyEnter(self) -> None: ...  # noqa: N802
    def BusyState(self) -> None: ...  # noqa: N802


class _Own(Machine[Any], schema="Idle -Busy; Busy -Idle"):
    def IdleEnter(self) -> None: ...  # noqa: N802
    def IdleState(self) -> None: ...  # noqa: N802
    def BusyEnter(self) -> None: ...  # noqa: N802
    def BusyState(self) -> None: ...  # noqa: N802


class _Async:
    done = 0

    async def IdleState(self) -> None:  # noqa: N802
        self.done += 1

    async def BusyState(self) -> None:  # noqa: N802
        self.done += 1


_MACHINES: dict[str, Callable[[], Machine[Any]]] = {
    "mutation": lambda: Machine(_SCHEMA),
    "handlers": lambda: Machine(_SCHEMA, handlers=_Listener()),
    "own handlers": _Own,
}


def _mutate(machine: Machine[Any], rounds: int) -> None:
    for _ in range(rounds // 2):
        machine.add("Busy")
        machine.add("Idle")


async def _mutate_async(rounds: int) -> None:
    listener = _Async()
    machine: Machine[Any] = Machine(_SCHEMA, handlers=listener)
    for wanted in range(1, rounds + 1):
        machine.add("Busy" if wanted % 2 else "Idle")
        while listener.done < wanted:  # noqa: ASYNC110 - the loop's pass is counted, too
            await asyncio.sleep(0)


async def _loop(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


def _define_handlers(server: grid.Server) -> None:
    class Handlers:
        @grid.handler
        async def echo(self, message: EchoMsg) -> EchoMsg:
            return message

    server.actor("echo", mailbox=16)(Handlers)


async def _ask(case: str, rounds: int, etcd: str, namespace: str) -> None:
    config = grid.EtcdConfig((etcd,), timeout=_SECONDS)
    server = grid.Server(namespace, etcd=config, lease=_SECONDS)
    if case.startswith("style"):  # which older checkouts do not have
        _define_handlers(server)
    else:
        server.actor("echo", mailbox=16)(_loop)
    await server.start()
    client = grid.Client(namespace, etcd=config, timeout=_SECONDS)
    await client.start_actor("echo")
    if "session" in case:
        _over_the_wire()
    call: Callable[..., Awaitable[object]] = client.request
    if case.startswith("send"):
        call = client.send
    for _ in range(_WARM):
        await call("echo", EchoMsg(msg="x"))
    gc.disable()
    for _ in range(rounds):
        await call("echo", EchoMsg(msg="x"))
    os._exit(0)  # what it takes to stop is not counted


async def _mutate_remote(case: str, rounds: int, etcd: str, namespace: str) -> None:
    import rpc  # only here: other cases are to start without it

    config = grid.EtcdConfig((etcd,), timeout=_SECONDS)
    server = grid.Server(namespace, etcd=config, lease=_SECONDS)
    await server.start()
    machine: Machine[Any] = Machine({"Count": {"multi": True}}, id="m")
    serving = rpc.Server(machine, server)
    await serving.start()
    client = grid.Client(namespace, etcd=config, timeout=_SECONDS)
    if "session" in case:
        _over_the_wire()
    remote = rpc.Client[Any](client, "m", timeout=_SECONDS, connect_timeout=_SECONDS)
    await remote.start()
    add = remote.machine.add
    for _ in range(_WARM):
        await add("Count")
    gc.disable()
    for _ in range(rounds):
        await add("Count")
    assert machine.tick("Count") == remote.machine.tick("Count")
    os._exit(0)


async def _call(case: str, rounds: int, etcd: str, namespace: str) -> None:
    from rpc.services import MethodSpec, ServiceClient, ServiceServer, ServiceSpec

    spec = MethodSpec("Echo", "echo", EchoMsg, EchoMsg)
    service = ServiceSpec("bench.Echo", (spec,))

    class Echo:
        async def echo(self, request: EchoMsg, _: object) -> EchoMsg:
            return request

    server = grid.Server(namespace, etcd=etcd, lease=_SECONDS)
    await server.start()
    serving = ServiceServer(service, Echo(), server)
    await serving.start()
    client = grid.Client(namespace, etcd=etcd, timeout=_SECONDS)
    if "session" in case:
        _over_the_wire()
    call = ServiceClient(service, client, timeout=_SECONDS)._call
    for _ in range(_WARM):
        await call(spec, (), EchoMsg(msg="x"), None, None)
    gc.disable()
    for _ in range(rounds):
        await call(spec, (), EchoMsg(msg="x"), None, None)
    os._exit(0)


def _over_the_wire() -> None:
    for name, module in tuple(sys.modules.items()):  # its place has changed once
        if name.startswith("grid.") and hasattr(module, "local_dispatcher"):
            vars(module)["local_dispatcher"] = lambda _: None


def main(case: str, rounds: int, etcd: str, namespace: str) -> None:
    """Run the rounds of a case."""
    if case in _MACHINES:
        machine = _MACHINES[case]()
        gc.disable()
        _mutate(machine, rounds)
    elif case == "async handler":
        asyncio.run(_mutate_async(rounds))
    elif case.startswith("remote"):
        asyncio.run(_mutate_remote(case, rounds, etcd, namespace))
    elif case.startswith("service"):
        asyncio.run(_call(case, rounds, etcd, namespace))
    else:
        asyncio.run(_ask(case, rounds, etcd, namespace))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
