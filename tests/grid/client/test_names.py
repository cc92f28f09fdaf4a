"""Names that are not strings are refused like those that break the rule, before any I/O."""

from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.codec import Codec
from grid.errors import GridError, InvalidActorType, InvalidArgument, InvalidName, InvalidNamespace
from grid.registry.names import Kind, check_namespace, full_name, prefix
from grid.registry.ring import Ring
from grid.wire_pb2 import EchoMsg

NO_NAMES: list[Any] = [5, True, b"bob", ["bob"], {"bob": 1}, {"bob"}, object, EchoMsg(), 1.5]

MAILBOXES: dict[str, Callable[[grid.Client, Any], Any]] = {
    "request": lambda c, n: c.request(n, EchoMsg()),
    "send": lambda c, n: c.send(n, EchoMsg()),
    "tell": lambda c, n: c.tell(n, EchoMsg()),
    "stream": lambda c, n: c.stream(n, EchoMsg()),
}
ENTITIES: dict[str, Callable[[grid.Client, Any], Any]] = {
    "stop_actor": lambda c, n: c.stop_actor(n),
    "check": lambda c, n: c.check(n),
    "wait_until_serving": lambda c, n: c.wait_until_serving(n),
}
OPTIONAL: dict[str, Callable[[grid.Client, Any], Any]] = {
    "start_actor(name=)": lambda c, n: c.start_actor("a", name=n),
    "start_actor(peer=)": lambda c, n: c.start_actor("a", peer=n),
}


class Greeter:
    @grid.handler
    async def greet(self, hello: EchoMsg) -> EchoMsg:
        return hello


async def _pass_on(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
    return await proceed(call)


@pytest.mark.parametrize("intercepted", [False, True], ids=["plain", "intercepted"])
@pytest.mark.parametrize("name", [None, *NO_NAMES], ids=lambda name: type(name).__name__)
async def test_a_name_that_is_no_string(name: Any, intercepted: bool) -> None:
    calls = {**MAILBOXES, **ENTITIES, **(OPTIONAL if name is not None else {})}
    interceptors = [_pass_on] if intercepted else []
    async with grid.Client("n", etcd="127.0.0.1:1", interceptors=interceptors) as client:
        for what, call in calls.items():
            with pytest.raises(InvalidName):
                assert not await call(client, name), what
        with pytest.raises(InvalidActorType):
            await client.start_actor(name)
        with pytest.raises(InvalidName):
            client.actor(Greeter, name)
        with pytest.raises(InvalidArgument, match="name of a mailbox"):
            await client.broadcast(grid.Group("a", name), EchoMsg())


@pytest.mark.parametrize("name", [None, *NO_NAMES], ids=lambda name: type(name).__name__)
def test_a_name_that_is_no_string_for_a_blocking_client(name: Any) -> None:
    with grid.sync.Client("n", etcd="127.0.0.1:1") as client:
        for call in (
            lambda: client.request(name, EchoMsg()),
            lambda: client.send(name, EchoMsg()).result(),
            lambda: client.tell(name, EchoMsg()),
            lambda: client.stream(name, EchoMsg()),
            lambda: client.actor(Greeter, name),
        ):
            with pytest.raises(InvalidName):
                call()


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: type(name).__name__)
def test_a_definition_or_a_namespace_that_is_no_string(name: Any) -> None:
    server = grid.Server("n")
    for define in (
        lambda: server.actor(name),
        lambda: server.handlers(name),
        lambda: server.define(name, lambda _: None),
    ):
        with pytest.raises(InvalidActorType):
            define()
    for make in (
        lambda: grid.Server(name),
        lambda: grid.Server("n", name=name),
        lambda: grid.Client(name),
        lambda: grid.sync.Client(name),
        lambda: Codec().register(EchoMsg, name=name),
        lambda: Codec().register(EchoMsg, accept=[name]),
        lambda: Ring(["a", name]),
        lambda: Ring(["a"]).owner(name),
    ):
        with pytest.raises(GridError):
            make()


@pytest.mark.parametrize("names", ["bob", b"bob", 5, None])
def test_further_names_of_a_type_are_a_list(names: Any) -> None:
    with pytest.raises(InvalidArgument):
        Codec().register(EchoMsg, accept=names)


@pytest.mark.parametrize("name", [None, *NO_NAMES], ids=lambda name: type(name).__name__)
def test_a_full_name_of_what_is_no_string(name: Any) -> None:
    with pytest.raises(InvalidNamespace):
        check_namespace(name)
    with pytest.raises(InvalidNamespace):
        prefix(name, Kind.PEER)
    with pytest.raises(InvalidNamespace):
        full_name(name, Kind.PEER, "a")


async def test_a_mailbox_under_what_is_no_string(grid_server: grid.Server) -> None:
    for name in [None, *NO_NAMES]:
        with pytest.raises(InvalidName):
            await grid_server.open_mailbox(name)
        if name is not None:
            with pytest.raises(InvalidArgument, match="the type of a mailbox must be a string"):
                await grid_server.open_mailbox("m", type=name)
