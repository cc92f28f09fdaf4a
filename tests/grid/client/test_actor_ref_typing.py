"""References to actors as type checkers see them."""

from __future__ import annotations

from pathlib import Path

from tests.grid.typing_kit import assert_checked

PROGRAM = """
from collections.abc import AsyncIterator

import grid
from grid.wire_pb2 import Ack, EchoMsg


class Greeter:
    @grid.handler
    async def greet(self, hello: EchoMsg) -> Ack:
        return Ack()

    @grid.handler
    async def note(self, hello: EchoMsg, ctx: grid.ActorContext) -> None: ...

    @grid.handler
    def blocking(self, hello: EchoMsg) -> EchoMsg:
        return hello

    @grid.handler
    async def items(self, hello: Ack) -> AsyncIterator[EchoMsg]:
        yield EchoMsg()

    @grid.handler
    async def chat(self, hello: Ack, stream: grid.Stream) -> None: ...


async def main(client: grid.Client) -> None:
    eve = client.actor(Greeter, "eve")
    answer: Ack = await eve.greet(EchoMsg(), timeout=3)
    await eve.note(EchoMsg(), metadata={"a": "b"})
    echo: EchoMsg = await eve.blocking(EchoMsg(), idempotent=True)
    async for item in eve.items(Ack()):
        echo = item
    async with eve.chat(Ack()) as stream:
        await stream.send(echo)
    async with client.subscribe(eve.items, Ack(), resume=lambda last: Ack()) as items:
        async for item in items:
            echo = item
    named = client.subscribe("eve", Ack(), item=EchoMsg, resume=lambda last: EchoMsg(msg=last.msg))
    last: EchoMsg | None = await named.receive()
    client.subscribe(eve.items, EchoMsg())  # error: misc
    client.subscribe(eve.greet, EchoMsg())  # error: call-overload
    await eve.greet(Ack())  # error: arg-type
    echo = await eve.greet(EchoMsg())  # error: assignment
    await eve.gret(EchoMsg())  # error: attr-defined
    await eve.greet(EchoMsg(), retries=3)  # error: call-arg
"""


def test_calls_of_a_reference_are_checked(tmp_path: Path) -> None:
    """Messages, answers, items and options, under `--strict`."""
    assert_checked(PROGRAM, tmp_path)
