"""`grid services` and `grid call`, without generated code."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

import grid
from grid.errors import InvalidArgument
from grid.testing import wait_until
from rpc.cli import call, services
from rpc.cli.options import Format
from tests.grid.cli.cli_kit import Running, data
from tests.grid.cli.cli_kit import grid as grid_command
from tests.rpc.services.greeting_grid import GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter


class There:
    """A namespace with two servers, and the command's functions on it."""

    greeters: tuple[Greeter, Greeter]
    server: GreeterServer

    def __init__(self, peer: grid.Server, capsys: pytest.CaptureFixture[str]) -> None:
        self.etcd = str(peer.config.etcd.endpoints[0])
        self.namespace = peer.config.namespace
        self._capsys = capsys

    async def __call__(
        self, function: Callable[..., int], *words: str, **options: Any
    ) -> tuple[int, str, str]:
        """Run a command as its own thread and loop do; code, output and errors."""
        code = await asyncio.to_thread(
            function, *words, etcd=self.etcd, namespace=self.namespace, **options
        )
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest_asyncio.fixture
async def there(
    grid_servers: Callable[..., grid.Server], capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[There]:
    """Two servers of a service, one of them with a topic."""
    peer = grid_servers()
    await peer.start()
    greeters = Greeter("a"), Greeter("b")
    async with (
        GreeterServer(greeters[0], peer, server_id="a") as server,
        GreeterServer(greeters[1], peer, server_id="b"),
    ):
        await server.register_regional_topic("eu")
        there = There(peer, capsys)
        there.greeters, there.server = greeters, server
        yield there
        for greeter in greeters:
            greeter.release.set()


async def test_services_are_listed_and_called(there: There) -> None:
    _, out, _ = await there(services, output=Format.JSON)
    (row,) = json.loads(out)
    assert row["service"] == "tests.greeting.Greeter"
    assert (row["servers"], row["topics"]) == (["a", "b"], ["eu"])
    assert {"Greet", "Pick", "All", "Regional"} <= set(row["methods"])
    table = (await there(services))[1]
    assert "tests.greeting.Greeter" in table
    assert "EachInRoom" not in table
    _, out, _ = await there(call, "Greeter", "Greet", '{"text": "hi"}', metadata=["k=v"])
    reply = json.loads(out)
    assert (reply["text"], reply["metadata"]) == ("HI", {"k": "v"})
    _, out, _ = await there(call, "tests.greeting.Greeter", "Pick")
    assert json.loads(out)["server"] in ("a", "b")
    _, out, _ = await there(call, "Greeter", "All", '{"text": "hi"}')
    assert {json.loads(line)["member"] for line in out.splitlines()} == {"a", "b"}
    _, out, _ = await there(call, "Greeter", "Regional", topic=["eu"])
    assert json.loads(out)["topic"] == ["eu"]


async def test_each_failure_has_its_exit_code(there: There) -> None:
    failed = await there(call, "Greeter", "Greet", '{"text": "fail:not_found"}')
    assert failed == (1, "", "error: not_found: as asked\n")
    assert (await there(call, "Greeter", "Greet", '{"text": "wait:"}', timeout=2.0))[0] == 4
    assert (await there(call, "Nothing", "Greet"))[0] == 3
    assert (await there(call, "Greeter", "Regional", topic=["us"]))[0] == 3
    for words, options, said in (
        (("Greeter", "Shout"), {}, "Greet, Pick"),
        (("Greeter", "Greet", "{"), {}, r"REQUEST must be JSON \(Expecting .*column 2.*\), not {"),
        (("Greeter", "Greet", "[" * 100_000), {}, "REQUEST must be JSON that is less nested"),
        (("Greeter", "Greet", "[]"), {}, r"REQUEST must be an object .*Hello \(text, .*, not \[\]"),
        (("Greeter", "Greet", "null"), {}, "REQUEST must be an object .*, not null"),
        (("Greeter", "Greet", '{"no": 1}'), {}, 'REQUEST must be the JSON of a .*Hello .*"no"'),
        (("Greeter", "Greet"), {"topic": ["eu"]}, r"left out, for Greet .*, not once \(eu\)"),
        (("Greeter", "Regional"), {}, "--topic must be given once, for topic, not left out"),
        (("Greeter", "Regional"), {"topic": ["eu", "us"]}, r"not 2 times \(eu, us\)"),
        (("Greeter", "Talk"), {}, "not a stream"),
        (("Greeter", "Greet"), {"metadata": ["k"]}, "KEY=VALUE"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            await there(call, *words, **options)


async def test_the_commands_are_found_by_their_entry_points(there: There) -> None:
    env = {"GRID_ETCD": there.etcd, "GRID_NAMESPACE": there.namespace}
    done = await asyncio.to_thread(
        grid_command, "call", "Greeter", "Greet", '{"text": "hi"}', env=env
    )
    assert data(done)["text"] == "HI"


async def test_ctrl_c_is_the_usual_end_of_a_subscription_alone(there: There) -> None:
    env = {"GRID_ETCD": there.etcd, "GRID_NAMESPACE": there.namespace}
    with Running("call", "Greeter", "Greet", '{"text": "wait:"}', env=env) as calling:
        await calling.until(lambda: any(one.calls for one in there.greeters), "the call has come")
        calling.signal(signal.SIGINT)
        assert await asyncio.to_thread(calling.ended) == 130

    with Running("call", "Greeter", "News", env=env) as following:

        async def printed() -> bool:
            await there.server.publish_news(Hello(text="news"))
            return bool(following.out)

        await wait_until(printed, "news are printed", timeout=30)
        following.signal(signal.SIGINT)
        assert await asyncio.to_thread(following.ended) == 0
