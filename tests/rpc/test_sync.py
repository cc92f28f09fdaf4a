"""Remote machines for code that blocks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import grid
import rpc
from grid.embedded import Etcd
from machine import Machine, UnknownState, WaitTimeout
from tests.rpc.machines.kit import SCHEMA


class Lights(Machine[Any], schema=SCHEMA):
    async def AState(self) -> None:
        await asyncio.sleep(0.01)
        self.add("B", args={"by": "kim"})


@pytest.fixture
def script(
    grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> Callable[[Callable[[Any], object]], Any]:
    """Runs a function with a blocking remote machine in a thread, while a peer serves it here."""

    def run(use: Callable[[Any], object], **options: Any) -> None:
        with (
            grid.sync.Client(grid_namespace, etcd=grid_etcd.endpoint) as client,
            rpc.sync.Client[Any](client, "lights", **options) as remote,
        ):
            use(remote)

    async def serve(use: Callable[[Any], object], **options: Any) -> Machine[Any]:
        machine = Lights(id="lights")
        getters = {"double": lambda number: 2 * number}
        async with rpc.Server(machine, grid_server, interval=0.01, getters=getters):
            await asyncio.to_thread(run, use, **options)
        return machine

    return serve


async def test_a_script_uses_a_remote_machine(script: Any) -> None:
    payloads: list[str] = []

    def use(remote: rpc.sync.Client[Any]) -> None:
        lights = remote.machine
        assert remote.connected
        assert lights.connected
        wait = lights.when_args("B", {"by": "kim"})
        lights.sync()
        assert lights.add("A").executed
        assert lights.is_("A")
        lights.when("A", "B").wait(20)
        wait.wait(20)
        assert lights.tick("A") == 1
        assert lights.toggle("A").executed
        assert lights.not_("A")
        assert lights.remove("B").executed
        assert lights.set("D").executed
        lights.add_ns("B")
        lights.when("B").wait(20)
        assert lights.get("double", number=21) == 42
        lights.add_err(ValueError("too warm"))
        assert "too warm" in str(lights.err)
        with pytest.raises(UnknownState):
            lights.add("Nope")
        with pytest.raises(WaitTimeout):
            lights.when("C").wait(0.01)
        with pytest.raises(AttributeError):
            lights.nothing  # noqa: B018
        assert str(lights).startswith("(")
        assert "is_" in dir(lights)
        remote.set_interval(0.02)
        remote.send_payload(rpc.Payload("photo", b"1"), lambda one: payloads.append(one.name))

    machine = await script(use)
    assert machine.is_("B", "D", "Exception")
    assert payloads == ["photo"]


async def test_errors_come_out_of_the_block(script: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        await script(lambda _: 1 // 0)


def test_it_has_the_methods_of_the_async_one() -> None:
    for blocking, original in (
        (rpc.sync.RemoteMachine, rpc.RemoteMachine),
        (rpc.sync.Client, rpc.Client),
    ):
        for name, method in vars(original).items():
            if name.startswith("_") or not inspect.iscoroutinefunction(method):
                continue
            here = inspect.signature(getattr(blocking, name))
            assert list(here.parameters) == list(inspect.signature(method).parameters), name
