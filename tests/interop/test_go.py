"""Go and Python in one namespace: each finds the other's peers, and is understood.

The Go side is the unmodified Go library in a process of its own (`main.go`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue

from grid import (
    ActorContext,
    Client,
    EchoMsg,
    EntityFound,
    EntityLost,
    Group,
    Kind,
    Server,
)
from grid.errors import (
    AlreadyRegistered,
    DeadlineExceeded,
    IncompleteBroadcast,
    InvalidActorType,
    MessageTooLarge,
    NilActor,
    NotPlaced,
    ReceiverBusy,
    RequestFailed,
    UnknownActorType,
    UnknownMailbox,
    UnknownMessageType,
    UnregisteredMailbox,
)
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from tests.interop.conftest import Grid, has
from tests.interop.go_kit import Line, Program

pytestmark = pytest.mark.timeout(600)  # the first test builds the Go program

LEASE = 10  # seconds, the least that a Go peer takes
MEBI = 1024 * 1024

slow = pytest.mark.skipif(
    not os.environ.get("GRID_INTEROP_SLOW"),
    reason="a Go peer looks for a free leader every 31 s only: set GRID_INTEROP_SLOW=1",
)


def define(server: Server) -> None:
    """The definitions of `main.go`, in Python."""

    @server.actor("echo", mailbox=16)
    async def echo(ctx: ActorContext) -> None:
        async for request in ctx.mailbox:
            message = request.message
            what, _, text = (
                message.msg.partition(": ") if isinstance(message, EchoMsg) else ("",) * 3
            )
            if what == "fail":
                request.fail(text)
            elif what == "hang":
                await ctx.stopping.wait()
            elif what == "end":
                request.ack()
                return
            else:
                request.respond(message)

    @server.actor("deaf", mailbox=0)
    async def deaf(ctx: ActorContext) -> None:
        await ctx.stopping.wait()

    def no_luck(_: bytes) -> None:
        raise ValueError("no luck today")

    server.define("failing", no_luck)
    server.define("nothing", lambda _: None)


@pytest.fixture
async def python(mixed: Grid) -> AsyncIterator[Server]:
    """A Python peer, with annotations, that never leads."""
    server = mixed.server(annotations=["zone=b", "a<b"], allow_leadership=False)
    define(server)
    async with server:
        yield server


@pytest.fixture
async def go(mixed: Grid) -> AsyncIterator[Program]:
    """A Go client."""
    async with mixed.go_client() as program:
        await program.event("ready")
        yield program


@pytest.fixture
async def go_peer(mixed: Grid) -> AsyncIterator[str]:
    """The name of a Go peer, with annotations, that never leads."""
    async with mixed.go_peer("-annotations", "zone=b,a<b") as program:
        yield (await program.event("started"))["name"]


async def start_by_go(go: Program, peer: str, type_: str, name: str) -> Line:
    """Ask a peer, from Go, to start an actor."""
    return await go.ask("request", **{"as": "start"}, to=peer, type=type_, name=name)


async def start_on_go(client: Client, peer: str, type_: str, name: str) -> None:
    """Start an actor on a Go peer, which says so before the actor has its mailbox."""
    await client.start_actor(type_, name=name, peer=peer)
    await wait_until(lambda: has(client, Kind.MAILBOX, name), f"mailbox {name}")


# -- a Go client and a Python peer ---------------------------------------------


async def test_go_starts_and_asks_python_actors(go: Program, python: Server) -> None:
    assert "error" not in await go.ask("wait", to=python.name)
    assert (await go.ask("check", to=python.name))["status"] == "SERVING"

    started = await start_by_go(go, python.name, "echo", "e")
    assert started["reply"] == {"type": "Ack"}
    # No pause: who has the Ack can send.
    echoed = await go.ask("request", to="e", text="hi")
    assert echoed["reply"] == {"type": "EchoMsg", "text": "hi"}
    # A type of a third package, registered under its Go name.
    echoed = await go.ask("request", **{"as": "string"}, to="e", text="hällo")
    assert echoed["reply"] == {"type": "StringValue", "text": "hällo"}
    echoed = await go.ask("request", to="e", size=3 * MEBI)
    assert len(echoed["reply"]["text"]) == 3 * MEBI


async def test_go_starting_a_name_twice_leaves_the_first_alone(
    go: Program, python: Server, client: Client
) -> None:
    await start_by_go(go, python.name, "echo", "once")
    before = await client.query(Kind.ACTOR), await client.query(Kind.MAILBOX)
    # The Go client sends a failed request three more times.
    again = await start_by_go(go, python.name, "echo", "once")
    assert 'registering actor "mixed.actor.once": registry: already registered' in again["error"]
    assert (await client.query(Kind.ACTOR), await client.query(Kind.MAILBOX)) == before
    assert (await go.ask("request", to="once", text="still here"))["reply"]["text"] == "still here"


# By Go's clock, or by that of the peer, whichever is first.
_OVERDUE = ("context deadline exceeded", "DeadlineExceeded", "context finished")


async def test_python_errors_as_go_reads_them(mixed: Grid, go: Program, python: Server) -> None:
    for type_ in ("echo", "deaf"):
        await start_by_go(go, python.name, type_, type_)
    ghost = encode_registration("mixed.mailbox.ghost", python.address, python.name)
    async with EtcdClient(EtcdConfig.parse(mixed.etcd)) as etcd:
        await etcd.put("mixed.mailbox.ghost", ghost)

    def start(type_: str, name: str = "x") -> Line:
        return {"as": "start", "to": python.name, "type": type_, "name": name}

    cases: list[tuple[Line, str]] = [
        (start("nosuch"), "grid: def not registered: type=nosuch"),
        (start("not a type"), "grid: invalid actor type"),
        (start("echo", "not a name"), "grid: invalid name"),
        (start("failing", "y"), "no luck today"),
        (start("nothing", "z"), "grid: nil actor"),
        ({"to": python.name, "text": "hi"}, "a peer's mailbox takes ActorStart"),
        ({"to": "nobody", "text": "hi"}, "grid: unregistered mailbox"),
        ({"to": "ghost", "text": "hi"}, "grid: unknown mailbox"),
        ({"to": "deaf", "text": "hi"}, "grid: receiver busy"),
        ({"to": "echo", "as": "unknown"}, "codec: unregistered message type"),
        ({"to": "echo", "text": "fail: as told"}, "desc = as told"),
        ({"to": "echo", "size": 5 * MEBI}, "eceived message larger than max"),
    ]
    answers = await asyncio.gather(*(go.ask("request", **fields) for fields, _ in cases))
    for answer, (fields, phrase) in zip(answers, cases, strict=True):
        assert phrase in answer["error"], fields
    answer = await go.ask("request", to="echo", text="hang: ", timeout=0.5)
    assert any(one in answer["error"] for one in _OVERDUE)


async def test_go_finds_what_is_on_a_python_peer(go: Program, python: Server) -> None:
    await start_by_go(go, python.name, "echo", "e")
    for kind, names in (("peer", [python.name]), ("actor", ["e"]), ("mailbox", [python.name, "e"])):
        found = (await go.ask("query", kind=kind))["entities"]
        assert [one["name"] for one in found] == names
        assert {one["peer"] for one in found} == {python.name}


async def test_go_sees_python_peers_come_and_go(mixed: Grid, go: Program, python: Server) -> None:
    watched = await go.ask("watch", kind="peer")
    known = {"name": python.name, "peer": python.name, "annotations": ["a<b", "zone=b"]}
    assert watched["entities"] == [known]
    await go.ask("watch", kind="actor")

    async with mixed.server(annotations=["cpu=2", "a&b"], name="later") as later:
        define(later)
        found = await go.event("found", when=lambda one: one["kind"] == "peer")
        assert (found["name"], found["peer"]) == ("later", "later")
        assert found["annotations"] == ["a&b", "cpu=2"]
        await start_by_go(go, "later", "echo", "e")
        found = await go.event("found", when=lambda one: one["kind"] == "actor")
        assert (found["name"], found["peer"]) == ("e", "later")
    lost = await go.event("lost", when=lambda one: one["kind"] == "actor")
    assert lost["name"] == "e"
    lost = await go.event("lost", when=lambda one: one["kind"] == "peer")
    assert lost["name"] == "later"
    assert "watch error" not in [one["event"] for one in go.events]


# -- a Python client and a Go peer -----------------------------------------------


async def test_python_starts_and_asks_go_actors(client: Client, go_peer: str) -> None:
    await client.wait_until_serving(go_peer)
    assert await client.check(go_peer) == "SERVING"
    # Without a peer one is chosen; there is only the Go one.
    assert await client.start_actor("echo", name="e") == go_peer
    await wait_until(lambda: has(client, Kind.MAILBOX, "e"), "the mailbox of e")

    assert await client.request("e", EchoMsg(msg="hi"), reply=EchoMsg) == EchoMsg(msg="hi")
    assert await client.request("e", StringValue(value="hällo")) == StringValue(value="hällo")
    assert not (await client.request("e", EchoMsg(msg="ack: "))).ListFields()
    large = EchoMsg(msg="x" * 3 * MEBI)
    assert await client.request("e", large) == large
    with_metadata = await client.request("e", EchoMsg(msg="hi"), metadata={"who": "me"})
    assert with_metadata == EchoMsg(msg="hi")


async def test_a_name_that_runs_on_a_go_peer_is_neither_started_again_nor_stopped(
    client: Client, go_peer: str
) -> None:
    await client.wait_until_serving(go_peer)
    await start_on_go(client, go_peer, "echo", "g")
    before = await client.query(Kind.ACTOR)
    for peer in (go_peer, None):
        with pytest.raises(AlreadyRegistered) as taken:
            await client.start_actor("echo", name="g", peer=peer)
        assert (taken.value.key, taken.value.peer) == ("mixed.actor.g", go_peer)
    with pytest.raises(RequestFailed, match="Go peers cannot stop"):
        await client.stop_actor("g")
    assert await client.query(Kind.ACTOR) == before
    assert await client.request("g", EchoMsg(msg="hi"), reply=EchoMsg) == EchoMsg(msg="hi")


async def test_go_errors_as_python_reads_them(mixed: Grid, client: Client, go_peer: str) -> None:
    for type_ in ("echo", "deaf"):
        await start_on_go(client, go_peer, type_, type_)
    address = (await client.query(Kind.PEER))[0].address
    ghost = encode_registration("mixed.mailbox.ghost", address, go_peer)
    async with EtcdClient(EtcdConfig.parse(mixed.etcd)) as etcd:
        await etcd.put("mixed.mailbox.ghost", ghost)

    async def start(type_: str, name: str = "x") -> None:
        await client.start_actor(type_, name=name, peer=go_peer)

    hi = EchoMsg(msg="hi")
    with pytest.raises(UnknownActorType) as unknown_type:
        await start("nosuch")
    assert unknown_type.value.type == "nosuch"
    with pytest.raises(RequestFailed, match="no luck today"):
        await start("failing")
    with pytest.raises(NilActor):
        await start("nothing")
    with pytest.raises((InvalidActorType, RequestFailed), match="invalid actor type"):
        await start("not a type")
    with pytest.raises(UnregisteredMailbox):
        await client.request("nobody", hi)
    with pytest.raises(UnknownMailbox):
        await client.request("ghost", hi)
    with pytest.raises(ReceiverBusy):
        await client.request("deaf", hi)
    with pytest.raises(UnknownMessageType, match=r"google\.protobuf\.Duration"):
        await client.request("echo", Duration())
    with pytest.raises(RequestFailed, match=r"^as told$") as failed:
        await client.request("echo", EchoMsg(msg="fail: as told"))
    assert failed.value.code == "UNKNOWN"
    with pytest.raises(RequestFailed, match=r"^as told$") as failed:
        await client.request("echo", EchoMsg(msg="status: as told"))
    assert failed.value.code == "FAILED_PRECONDITION"
    with pytest.raises(DeadlineExceeded):
        await client.request("echo", EchoMsg(msg="hang: "), timeout=0.5)
    # A Go peer leaves other messages than a start unanswered.
    with pytest.raises(DeadlineExceeded):
        await client.request(go_peer, hi, timeout=0.5)
    with pytest.raises(MessageTooLarge) as too_large:  # refused there
        await client.request("echo", EchoMsg(msg="x" * 5 * MEBI))
    assert too_large.value.limit == 4 * MEBI
    async with mixed.client(max_message_bytes=4 * MEBI) as small:
        with pytest.raises(MessageTooLarge):  # refused here
            await small.request("echo", EchoMsg(msg="x" * 5 * MEBI))
        with pytest.raises(MessageTooLarge):  # the answer, which comes back
            await small.request("echo", EchoMsg(msg="big: "))
    assert await client.request("echo", hi) == hi


async def test_python_finds_what_is_on_a_go_peer(client: Client, go_peer: str) -> None:
    await start_on_go(client, go_peer, "echo", "e")
    (peer,) = await client.query(Kind.PEER)
    assert (peer.name, peer.peer, peer.annotations) == (go_peer, go_peer, ("a<b", "zone=b"))
    assert [one.name for one in await client.query(Kind.MAILBOX)] == [go_peer, "e"]
    (actor,) = await client.query(Kind.ACTOR)
    assert (actor.name, actor.peer, actor.address) == ("e", go_peer, peer.address)
    assert await client.start_actor("echo", name="e2", annotations=["zone=b"]) == go_peer
    with pytest.raises(NotPlaced, match="zone=z"):
        await client.start_actor("echo", name="e3", annotations=["zone=z"])


async def test_python_sees_go_peers_come_and_go(mixed: Grid, client: Client) -> None:
    async with client.watch(Kind.PEER) as events:
        async with mixed.go_peer("-annotations", "zone=b,a<b") as program:
            name = (await program.event("started"))["name"]
            came = await anext(events)
            await program.ask("stop")
            assert await program.ended() == 0
        went = await anext(events)
    assert isinstance(came, EntityFound)
    assert (came.entity.name, came.entity.annotations) == (name, ("a<b", "zone=b"))
    assert isinstance(went, EntityLost)
    assert went.entity == came.entity


# -- both at once ------------------------------------------------------------------


async def test_broadcast_to_actors_of_both(
    go: Program, client: Client, python: Server, go_peer: str
) -> None:
    await start_by_go(go, python.name, "echo", "p")
    await start_on_go(client, go_peer, "echo", "g")
    hi = {"type": "EchoMsg", "text": "hi"}

    answer = await go.ask("broadcast", members=["p", "g"], text="hi")
    assert answer["each"] == {"p": {"reply": hi}, "g": {"reply": hi}}
    assert "error" not in answer
    answer = await go.ask("broadcast", members=["p", "g"], text="hi", fastest=True)
    assert hi in [one.get("reply") for one in answer["each"].values()]
    assert "error" not in answer
    answer = await go.ask("broadcast", members=["p", "nobody"], text="hi")
    assert "grid: incomplete broadcast" in answer["error"]
    assert answer["each"]["p"] == {"reply": hi}
    assert "unregistered mailbox" in answer["each"]["nobody"]["error"]

    result = await client.broadcast(Group("p", "g"), EchoMsg(msg="hi"))
    assert result.successes == {"p": EchoMsg(msg="hi"), "g": EchoMsg(msg="hi")}
    result = await client.broadcast(Group("p", "g").fastest(), EchoMsg(msg="hi"))
    assert EchoMsg(msg="hi") in result.successes.values()
    with pytest.raises(IncompleteBroadcast) as incomplete:
        await client.broadcast(Group("p", "g", "nobody"), EchoMsg(msg="hi"))
    assert set(incomplete.value.result.successes) == {"p", "g"}


async def test_a_name_is_unique_over_both(client: Client, python: Server, go_peer: str) -> None:
    await client.start_actor("echo", name="p", peer=python.name)
    await start_on_go(client, go_peer, "echo", "g")
    before = await client.query(Kind.ACTOR)

    with pytest.raises(AlreadyRegistered) as taken:
        await client.start_actor("echo", name="g", peer=python.name)
    assert (taken.value.key, taken.value.peer) == ("mixed.actor.g", go_peer)
    # A Go peer answers only after it has tried, for 6 s, to free the other's name.
    with pytest.raises(AlreadyRegistered) as taken:
        await client.start_actor("echo", name="p", peer=go_peer)
    assert taken.value.key == "mixed.actor.p"
    assert await client.query(Kind.ACTOR) == before


async def test_a_name_moves_between_both(
    go: Program, client: Client, python: Server, go_peer: str
) -> None:
    async def both_reach_it() -> None:
        # Not told yet of the move, it asks the Go peer, whose "unknown mailbox" may be forwarded.
        hi = EchoMsg(msg="hi")
        assert await client.request("m", hi, idempotent=True) == hi
        assert (await go.ask("request", to="m", text="hi")).get("reply")

    async def end() -> None:
        await client.request("m", EchoMsg(msg="end: "))
        await wait_until(lambda: gone(), "both names of m to go")

    async def gone() -> bool:
        return not await has(client, Kind.ACTOR, "m") and not await has(client, Kind.MAILBOX, "m")

    await client.start_actor("echo", name="m", peer=python.name)
    await both_reach_it()
    await end()
    await start_on_go(client, go_peer, "echo", "m")
    await both_reach_it()
    await end()
    await client.start_actor("echo", name="m", peer=python.name)
    await both_reach_it()
