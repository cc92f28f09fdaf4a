"""Each async call of an object that belongs to an event loop refuses any other loop at once.

There are two kinds of other loops: one that runs in another thread meanwhile, and one that runs
later in the same thread. Without the refusal a call hangs, or raises a bare error of asyncio.
"""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

import grid
from grid.actor import ActorContext, StopSignal
from grid.aio import Opening
from grid.embedded import Etcd
from grid.errors import CannotRunHere, WrongEventLoop
from grid.etcd import EtcdClient, EtcdConfig, Lease, Watch
from grid.etcd.api_pb2 import TxnRequest
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.registry.entities import EntityWatch
from grid.stream import Stream
from grid.wire_pb2 import EchoMsg

AT_ONCE = 20.0  # seconds: longer than any pause of a busy machine


class House:
    """Objects of all kinds that belong to the loop on which `open` was called."""

    def __init__(self, namespace: str, etcd: str) -> None:
        self._stack = AsyncExitStack()
        self._namespace = namespace
        self._etcd = etcd

    async def open(self) -> None:
        enter = self._stack.enter_async_context
        contexts: asyncio.Queue[ActorContext] = asyncio.Queue()

        async def act(ctx: ActorContext) -> None:
            contexts.put_nowait(ctx)
            await ctx.stopping.wait()

        self.server = grid.Server(self._namespace, etcd=self._etcd)
        self.server.define("a", lambda _: act)
        await enter(self.server)
        self.client = await enter(grid.Client(self._namespace, etcd=self._etcd))
        self.mailbox = await enter(self.server.open_mailbox("m"))
        opening = asyncio.ensure_future(self.client.stream("m", EchoMsg()))
        self.far = await enter((await anext(self.mailbox)).accept())
        self.stream = await enter(await opening)
        self.opening = asyncio.ensure_future(self.client.stream("m", EchoMsg()))
        self.request = await anext(self.mailbox)
        await self.client.start_actor("a")
        self.context = await contexts.get()
        self.entities = await enter(self.client.watch("peer"))
        await anext(self.entities)
        self.etcd = await enter(EtcdClient(EtcdConfig.parse(self._etcd)))
        self.lease = await self.etcd.open_lease(60)
        self.watch = await enter(self.etcd.watch(self._namespace))
        await anext(self.watch)

    async def check(self) -> None:
        """All of them work as before on their own loop."""
        asking = self.client.send("m", EchoMsg(msg="on"))
        request = await anext(self.mailbox)
        request.respond(request.message)
        assert await asking == EchoMsg(msg="on")
        await self.stream.send(EchoMsg(msg="on"))
        assert await self.far.receive() == EchoMsg(msg="on")
        async with self.request.accept(), await self.opening:
            pass
        async with self.server.open_mailbox("another"):
            changes = (await anext(self.watch)).changes
            assert [one.key for one in changes] == [f"{self._namespace}.mailbox.another"]
        assert self.lease.valid
        assert not self.context.stopping
        await self.client.stop_actor("a")

    async def close(self) -> None:
        await self.lease.revoke()
        await self._stack.aclose()


Use = Callable[[House], Any]
Uses = dict[str, Use]

MESSAGE = EchoMsg(msg="from elsewhere")

# Each async method of the classes, and each that starts something on the loop, with its use.
USES: dict[type, Uses] = {
    grid.Server: {
        "__aenter__": lambda h: h.server.__aenter__(),
        "__aexit__": lambda h: h.server.__aexit__(None, None, None),
        "open_mailbox": lambda h: h.server.open_mailbox("new"),
        "serve": lambda h: h.server.serve(),
        "start": lambda h: h.server.start(),
        "stop": lambda h: h.server.stop(),
    },
    grid.Client: {
        "__aenter__": lambda h: h.client.__aenter__(),
        "__aexit__": lambda h: h.client.__aexit__(None, None, None),
        "actor_reports": lambda h: h.client.actor_reports(h.server.name),
        "broadcast": lambda h: h.client.broadcast(grid.Group("m"), MESSAGE),
        "check": lambda h: h.client.check(h.server.name),
        "close": lambda h: h.client.close(),
        "drain_peer": lambda h: h.client.drain_peer(h.server.name),
        "forget_reminder": lambda h: h.client.forget_reminder("a", "r"),
        "move_actor": lambda h: h.client.move_actor("a", h.server.name),
        "query": lambda h: h.client.query("peer"),
        "rebalance": lambda h: h.client.rebalance(),
        "reminders": lambda h: h.client.reminders(),
        "request": lambda h: h.client.request("m", MESSAGE),
        "send": lambda h: h.client.send("m", MESSAGE),
        "start_actor": lambda h: h.client.start_actor("a", name="b"),
        "stop_actor": lambda h: h.client.stop_actor("a"),
        "stream": lambda h: h.client.stream("m", MESSAGE),
        "tell": lambda h: h.client.tell("m", MESSAGE),
        "wait_until_serving": lambda h: h.client.wait_until_serving(h.server.name),
        "watch": lambda h: anext(h.client.watch("peer")),
    },
    Mailbox: {
        "__aexit__": lambda h: h.mailbox.__aexit__(None, None, None),
        "__anext__": lambda h: anext(h.mailbox),
        "close": lambda h: h.mailbox.close(),
        "leave": lambda h: h.mailbox.leave(),
        "receive": lambda h: h.mailbox.receive(),
    },
    Request: {
        "accept": lambda h: h.request.accept(),
        "until_cancelled": lambda h: h.request.until_cancelled(),
    },
    Stream: {
        "__aexit__": lambda h: h.stream.__aexit__(None, None, None),
        "__anext__": lambda h: anext(h.stream),
        "close": lambda h: h.stream.close(),
        "finish": lambda h: h.stream.finish(),
        "receive": lambda h: h.stream.receive(),
        "send": lambda h: h.stream.send(MESSAGE),
    },
    ActorContext: {
        "after": lambda h: h.context.after(60, print),
        "every": lambda h: h.context.every(60, print),
        "expose": lambda h: h.context.expose(object()),
        "forget": lambda h: h.context.forget("r"),
        "open_mailbox": lambda h: h.context.open_mailbox("new"),
        "remind": lambda h: h.context.remind("r", MESSAGE, after=60),
        "reminders": lambda h: h.context.reminders(),
    },
    StopSignal: {"wait": lambda h: h.context.stopping.wait()},
    EntityWatch: {
        "__aexit__": lambda h: h.entities.__aexit__(None, None, None),
        "__anext__": lambda h: anext(h.entities),
    },
    EtcdClient: {
        "__aexit__": lambda h: h.etcd.__aexit__(None, None, None),
        "close": lambda h: h.etcd.close(),
        "delete": lambda h: h.etcd.delete("k"),
        "get": lambda h: h.etcd.get("k"),
        "get_prefix": lambda h: h.etcd.get_prefix("k"),
        "lease_keys": lambda h: h.etcd.lease_keys(h.lease.id),
        "lease_time": lambda h: h.etcd.lease_time(h.lease.id),
        "members": lambda h: h.etcd.members(),
        "open_lease": lambda h: h.etcd.open_lease(60),
        "ping": lambda h: h.etcd.ping(),
        "put": lambda h: h.etcd.put("k", b"v", lease=h.lease.id),
        "revoke": lambda h: h.etcd.revoke(h.lease.id),
        "status": lambda h: h.etcd.status(h.etcd.config.endpoints[0]),
        "txn": lambda h: h.etcd.txn(TxnRequest()),
    },
    Lease: {
        "abandon": lambda h: h.lease.abandon(),
        "revoke": lambda h: h.lease.revoke(),
        "wait_lost": lambda h: h.lease.wait_lost(),
    },
    Watch: {
        "__aexit__": lambda h: h.watch.__aexit__(None, None, None),
        "__anext__": lambda h: anext(h.watch),
        "close": lambda h: h.watch.close(),
    },
}
# They return the object itself and do nothing else.
ONLY_ENTERED = {Mailbox, Stream, EntityWatch, EtcdClient, Watch}


async def _error(use: Use, house: House) -> BaseException | None:
    try:
        async with asyncio.timeout(AT_ONCE):
            made = use(house)
            if inspect.isawaitable(made):
                await made
    except Exception as error:  # noqa: BLE001 - handed to the test
        return error
    return None


def _run(use: Use, house: House) -> BaseException | None:
    return asyncio.run(_error(use, house))


@pytest.mark.parametrize("way", ["another thread", "a later loop"])
@pytest.mark.parametrize("kind", USES, ids=lambda kind: kind.__name__)
def test_a_call_on_another_loop_is_refused_at_once(
    kind: type, way: str, grid_etcd: Etcd, grid_namespace: str
) -> None:
    house = House(grid_namespace, grid_etcd.endpoint)
    with asyncio.Runner() as own:
        own.run(house.open())
        for name, use in USES[kind].items():
            if way == "another thread":
                error = own.run(asyncio.to_thread(_run, use, house))
                # Only the main thread has signals; that is looked at first.
                expected: Any = (WrongEventLoop, CannotRunHere)[: 1 + (name == "serve")]
            else:
                error, expected = _run(use, house), WrongEventLoop
            assert isinstance(error, expected), f"{kind.__name__}.{name}: {error!r}"
        own.run(house.check())
        own.run(house.close())


@pytest.mark.parametrize("kind", USES, ids=lambda kind: kind.__name__)
def test_the_table_has_all_async_methods(kind: type) -> None:
    found = {name for name, member in inspect.getmembers(kind) if _is_async(member)}
    public = {name for name in found if not name.startswith("_") or name.startswith("__a")}
    if kind in ONLY_ENTERED:
        public -= {"__aenter__"}
    assert public <= USES[kind].keys()


def _is_async(member: Any) -> bool:
    if not inspect.isfunction(member):
        return False
    returned = str(inspect.signature(member).return_annotation)
    return inspect.iscoroutinefunction(member) or returned.startswith(
        (Opening.__name__, "Coroutine", "asyncio.Future", "EntityWatch")
    )
