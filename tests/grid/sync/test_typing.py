"""Blocking calls as type checkers see them: they know as much as of the async ones."""

from __future__ import annotations

from pathlib import Path

from tests.grid.typing_kit import assert_checked

PROGRAM = """
from collections.abc import AsyncIterator

from google.protobuf.message import Message

import grid
from grid.sync import BlockingContext, Client
from grid.wire_pb2 import Ack, EchoMsg


class Feed:
    @grid.handler
    async def lines(self, hello: Ack) -> AsyncIterator[EchoMsg]:
        yield EchoMsg()


def main(client: Client) -> None:
    ack: Ack = client.request("eve", EchoMsg(), reply=Ack)
    echo: EchoMsg | None = client.subscribe("eve", Ack(), item=EchoMsg).receive()
    message: Message | None = client.subscribe("eve", Ack()).receive()
    with client.subscribe(
        "eve", Ack(), item=EchoMsg, resume=lambda last: EchoMsg(msg=last.msg)
    ) as items:
        for item in items:
            echo = item
    last: EchoMsg | None = items.last
    client.subscribe(client.actor(Feed, "eve").lines, Ack())  # its handlers are not known
    wrong: Ack | None
    wrong = client.subscribe("eve", Ack(), item=EchoMsg).receive()  # error: assignment
    echo = client.subscribe("eve", Ack()).receive()  # error: assignment
    client.subscribe("eve", Ack(), item=int)  # error: type-var
    client.subscribe(3, Ack())  # error: call-overload


def blocking(ctx: BlockingContext) -> None:
    ack: Ack = ctx.request("eve", EchoMsg(), reply=Ack, timeout=3)
    message: Message = ctx.request("eve", EchoMsg())
    echo: EchoMsg = ctx.request("eve", EchoMsg(), reply=Ack)  # error: assignment
    ctx.request("eve", EchoMsg(), retries=3)  # error: call-overload
"""


def test_blocking_calls_are_checked(tmp_path: Path) -> None:
    assert_checked(PROGRAM, tmp_path)
