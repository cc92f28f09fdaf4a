"""Python and Go services in one deployment, on Redis and NATS: all kinds of calls, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.wrappers_pb2 import StringValue

from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from rpc.services import CallContext, CallTimedOut, NoServers, ServiceError, ServiceStream
from tests.rpc.interop.go_kit import GoProgram, build, go_program
from tests.rpc.interop.interop_grid import InteropBase, InteropClient, InteropServer

ROCKET = "eu/west 🚀"
SOON = 20.0

Start = Callable[..., Awaitable[GoProgram]]


class Interop(InteropBase):
    """Answers as the Go program does."""

    def __init__(self, name: str, affinity: float) -> None:
        self.name = name
        self.affinity = affinity

    async def _answer(self, request: StringValue, context: CallContext) -> StringValue:
        if request.value.startswith("fail:"):
            details = [StringValue(value="a detail")]
            raise ServiceError("not_found", request.value.partition(":")[2], details=details)
        return StringValue(
            value=f"{request.value.upper()}|{self.name}|{context.metadata.get('k', '')}"
        )

    echo = all = regional = owned = pick = _answer

    async def pick_affinity(self, request: StringValue, context: CallContext) -> float:
        return self.affinity

    async def talk(
        self, stream: ServiceStream[StringValue, StringValue], context: CallContext
    ) -> None:
        async for line in stream:
            if line.value.startswith("fail:"):
                raise ServiceError("not_found", line.value.partition(":")[2])
            await stream.send(StringValue(value=f"{line.value.upper()}|{self.name}"))

    talk_pick = talk

    async def talk_pick_affinity(self, context: CallContext) -> float:
        return self.affinity


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built Go program."""
    return build(tmp_path_factory.mktemp("psrpc"))


class Deployment:
    """A broker with programs of both languages."""

    def __init__(self, url: str, make: Callable[[str], Any], program: Path) -> None:
        self.url = url
        self._make = make
        self._program = program
        self.stack = AsyncExitStack()

    def bus(self) -> Any:
        """A bus of this process."""
        bus = self._make(self.url)
        self.stack.push_async_callback(bus.close)
        return bus

    async def go(self, *words: str) -> GoProgram:
        """Start the Go program."""
        return await self.stack.enter_async_context(go_program(self._program, self.url, *words))

    async def serve(self, name: str, affinity: float = 0.5) -> InteropServer:
        """Start a server in Python, with topics of its own."""
        server = InteropServer(Interop(name, affinity), self.bus(), server_id=name)
        await self.stack.enter_async_context(server)
        await server.register_regional_topic(ROCKET, name)
        await server.register_owned_topic(name)
        return server

    async def client(self) -> InteropClient:
        """A client in Python."""
        return await self.stack.enter_async_context(InteropClient(self.bus()))


@pytest_asyncio.fixture(params=["redis", "nats"])
async def there(request: pytest.FixtureRequest, program: Path) -> AsyncIterator[Deployment]:
    """A deployment on each broker."""
    server = request.getfixturevalue(f"{request.param}_server")
    made = Deployment(server.url, RedisBus if request.param == "redis" else NatsBus, program)
    async with made.stack:
        yield made


def _text(value: str) -> StringValue:
    return StringValue(value=value)


async def _fail(stream: ServiceStream[StringValue, StringValue]) -> None:
    # A Go server's close may come before its acknowledgement: then `send` raises it.
    await stream.send(_text("fail:bye"))
    await asyncio.wait_for(anext(stream), SOON)


@pytest.mark.timeout(900)  # the first one builds the program
async def test_a_python_client_calls_go_servers(there: Deployment) -> None:
    one, _ = await asyncio.gather(there.go("serve", "GO1", "0.5"), there.go("serve", "GO2", "0.25"))
    client = await there.client()
    got = await client.echo(_text("hi"), metadata={"k": "v"})
    assert got.value in ("HI|GO1|v", "HI|GO2|v")
    with pytest.raises(ServiceError, match="gone") as raised:
        await client.echo(_text("fail:gone"))
    assert raised.value.code == "not_found"
    assert raised.value.detail(StringValue) == _text("a detail")
    assert (await client.pick(_text("hi"))).value == "HI|GO1|"
    everyone = await client.all(_text("hi"), timeout=0.7)
    assert {one.member: one.result().value for one in everyone} == {
        "GO1": "HI|GO1|",
        "GO2": "HI|GO2|",
    }
    assert (await client.regional(ROCKET, "GO2", _text("hi"))).value == "HI|GO2|"
    assert (await client.owned("GO1", _text("hi"))).value == "HI|GO1|"
    with pytest.raises(NoServers):
        await client.regional(ROCKET, "nobody", _text("hi"), timeout=0.5)
    with pytest.raises(CallTimedOut):
        await client.owned("nobody", _text("hi"), timeout=0.5)
    for open_, servers in ((client.talk, {"GO1", "GO2"}), (client.talk_pick, {"GO1"})):
        async with open_(timeout=SOON) as stream:
            assert stream.member in servers
            for word in ("one", "two"):
                await stream.send(_text(word))
                assert (await anext(stream)).value == f"{word.upper()}|{stream.member}"
            with pytest.raises(ServiceError, match="bye") as raised:
                await _fail(stream)
            assert raised.value.code == "not_found"
    async with client.subscribe_news() as news, client.subscribe_jobs() as jobs:
        await one.ask("News", "n")
        assert (await asyncio.wait_for(anext(news), SOON)).value == "n"
        job = asyncio.ensure_future(anext(jobs))
        for number in range(100):  # on NATS Go servers win and drop some of them
            await one.ask("Jobs", f"j{number}")
            await asyncio.wait([job], timeout=0.05)
            if job.done():
                break
        assert (await job).value.startswith("j")


@pytest.mark.timeout(900)
async def test_a_go_client_calls_python_servers(there: Deployment) -> None:
    server = await there.serve("PY1", 0.5)
    await there.serve("PY2", 0.25)
    go = await there.go("client", "CLI_go")
    assert (await go.ask("Echo", "hi"))["got"] in ("HI|PY1|v", "HI|PY2|v")
    assert await go.ask("Echo", "fail:gone") == {
        "error": "gone",
        "code": "not_found",
        "details": ["a detail"],
    }
    assert (await go.ask("Pick", "hi"))["got"] == "HI|PY1|v"
    assert sorted((await go.ask("All", "hi", wait=700))["all"]) == ["HI|PY1|v", "HI|PY2|v"]
    assert (await go.ask("Regional", "hi", topic=[ROCKET, "PY2"]))["got"] == "HI|PY2|v"
    assert (await go.ask("Owned", "hi", topic=["PY1"]))["got"] == "HI|PY1|v"
    talk = (await go.ask("Talk", lines=["one", "two"]))["talk"]
    assert [one.partition("|")[0] for one in talk] == ["ONE", "TWO"]
    assert (await go.ask("TalkPick", lines=["one"]))["talk"] == ["ONE|PY1"]
    ended = await go.ask("TalkPick", lines=["one", "fail:bye"])
    assert (ended["error"], ended["code"], ended["talk"]) == ("bye", "not_found", ["ONE|PY1"])
    assert await go.ask("News") == {"joined": "News"}
    assert await go.ask("Jobs") == {"joined": "Jobs"}
    await server.publish_news(_text("n"))
    for _ in range(3):
        await server.publish_jobs(_text("same"))
    updates = await go.wait_updates(4)
    assert sorted(updates) == [("Jobs", "same")] * 3 + [("News", "n")]


@pytest.mark.timeout(900)
async def test_servers_of_both_languages_share_the_calls(there: Deployment) -> None:
    await there.serve("PY1", 0.75)
    await there.go("serve", "GO1", "0.5")
    client, go = await there.client(), await there.go("client", "CLI_go")
    got = [(await client.echo(_text("hi"))).value for _ in range(20)]
    got += [(await go.ask("Echo", "hi"))["got"] for _ in range(20)]
    assert {one.split("|")[1] for one in got} <= {"PY1", "GO1"}
    assert (await client.pick(_text("hi"))).value == "HI|PY1|"
    assert (await go.ask("Pick", "hi"))["got"] == "HI|PY1|v"
    assert {one.member for one in await client.all(_text("hi"), timeout=0.7)} == {"PY1", "GO1"}
