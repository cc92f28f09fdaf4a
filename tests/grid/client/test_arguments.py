"""Wrong arguments are refused where they are given, before any I/O, with what is wanted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import grid
from grid.errors import GridError, InvalidArgument, InvalidName, MessageTooLarge, WrongEventLoop
from grid.wire_pb2 import ActorStop, EchoMsg

WRONG: Any = {
    "annotations": (lambda c: c.start_actor("a", annotations="gpu"), "list of strings"),
    "annotation": (lambda c: c.start_actor("a", annotations=["gpu", 7]), "list of strings"),
    "no annotations": (lambda c: c.start_actor("a", annotations=None), "list of strings"),
    "data": (lambda c: c.start_actor("a", data="x"), "data must be bytes"),
    "kind": (lambda c: c.query("peers"), "peer, actor or mailbox"),
    "no kind": (lambda c: c.query(None), "peer, actor or mailbox"),
    "group": (lambda c: c.broadcast(["bob"], EchoMsg()), "grid.Group"),
    "group of one": (lambda c: c.broadcast("bob", EchoMsg()), "grid.Group"),
    "metadata": (lambda c: c.request("bob", EchoMsg(), metadata={"a": 1}), "strings by strings"),
    "listed metadata": (lambda c: c.request("bob", EchoMsg(), metadata=["a"]), "strings by string"),
    "timeout": (lambda c: c.request("bob", EchoMsg(), timeout="1"), "a number of seconds"),
    "grace": (lambda c: c.stop_actor("a", grace="1"), "a number of seconds"),
}


@pytest.mark.parametrize(("use", "text"), WRONG.values(), ids=WRONG)
async def test_a_wrong_argument_of_a_call(
    use: Callable[[Any], Awaitable[object]], text: str
) -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(InvalidArgument, match=text):
            await use(client)


@pytest.mark.parametrize("kind", ["peers", "", None, 7])
async def test_a_wrong_kind_of_a_watch(kind: Any) -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(InvalidArgument, match="peer, actor or mailbox"):
            client.watch(kind)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": -1},
        {"timeout": 0},
        {"timeout": "10"},
        {"timeout": float("nan")},
        {"retry": 3},
        {"retry": None},
        {"sessions_per_peer": 0},
        {"breaker": True},
        {"max_message_bytes": -1},
        {"compression": "zip"},
        {"filters": 7},
        {"namespace": "a b"},
        {"namespace": ["a"]},
        {"namespace": 5},
        {"namespace": "n" * 5000},
        {"etcd": "no port"},
        {"etcd": 7},
        {"codec": "json"},
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_client(arguments: Any) -> None:
    for make in (grid.Client, grid.sync.Client):
        with pytest.raises(GridError):
            make(**{"namespace": "n", "etcd": "127.0.0.1:1", **arguments})


@pytest.mark.parametrize(
    "arguments",
    [{"attempts": 0}, {"attempts": "3"}, {"first_pause": -1}, {"longest_pause": "1"}],
    ids=str,
)
def test_a_wrong_retry(arguments: Any) -> None:
    with pytest.raises(InvalidArgument):
        grid.Retry(**arguments)


class Greeter:
    @grid.handler
    async def greet(self, hello: EchoMsg) -> EchoMsg:
        return hello

    @grid.handler
    async def maybe(self, stop: ActorStop) -> EchoMsg | None:
        return None


@pytest.mark.parametrize("reply", [5, "EchoMsg", EchoMsg(), int, object, [EchoMsg], ()], ids=repr)
@pytest.mark.parametrize("intercepted", [False, True], ids=["plain", "intercepted"])
async def test_a_wrong_type_of_reply_is_refused_before_anything_is_sent(
    reply: Any, intercepted: bool, grid_server: grid.Server
) -> None:
    options: Any = {"etcd": grid_server.config.etcd, "interceptors": [_pass_on] * intercepted}
    namespace = grid_server.config.namespace
    async with grid_server.open_mailbox("bob") as mailbox:
        async with grid.Client(namespace, **options) as client:
            bob: Any = client.actor(Greeter, "bob")
            for call in (
                lambda: client.request("bob", EchoMsg(), reply=reply),
                lambda: client.send("bob", EchoMsg(), reply=reply),
                lambda: bob.greet(EchoMsg(), reply=reply),
                lambda: bob.maybe(ActorStop(), reply=reply),
            ):
                with pytest.raises(InvalidArgument, match="reply must be a protobuf message"):
                    await call()

        def blocking() -> None:
            with grid.sync.Client(namespace, **options) as client:
                bob: Any = client.actor(Greeter, "bob")
                for call in (
                    lambda: client.request("bob", EchoMsg(), reply=reply),
                    lambda: client.send("bob", EchoMsg(), reply=reply).result(),
                    lambda: bob.greet(EchoMsg(), reply=reply),
                    lambda: bob.maybe(ActorStop(), reply=reply),
                ):
                    with pytest.raises(InvalidArgument, match="reply must be a protobuf message"):
                        call()

        await asyncio.to_thread(blocking)
        assert mailbox.statistics().received == 0


async def _pass_on(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
    return await proceed(call)


async def test_metadata_over_its_limit_is_not_called_a_message() -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(MessageTooLarge, match="metadata too large") as caught:
            await client.request("bob", EchoMsg(), metadata={"key": "x" * 100_000})
        assert caught.value.part == "metadata"


def test_a_client_outside_of_a_loop_says_so() -> None:
    client = grid.Client("n", etcd="127.0.0.1:1")
    with pytest.raises(WrongEventLoop):
        client.send("bob", EchoMsg())


@pytest.mark.parametrize("member", [None, 5, [], ["a"], b"a", EchoMsg])
def test_a_wrong_member_of_a_group(member: Any) -> None:
    with pytest.raises(InvalidArgument, match="name of a mailbox"):
        grid.Group("a", member)


@pytest.mark.parametrize("rest", [None, "1", [], 0, -1, float("nan"), float("inf")])
def test_a_wrong_rest_of_a_breaker(rest: Any) -> None:
    with pytest.raises(InvalidArgument, match="number of seconds"):
        grid.BreakerPolicy(rest=rest)


@pytest.mark.parametrize("name", ["\ud800", ["a"], 5, None, "a b", "x" * 5000])
async def test_a_wrong_name_of_an_actor_to_stop(name: Any) -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        with pytest.raises(InvalidName):
            await client.stop_actor(name)
