"""References to actors as type checkers see them."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[3]
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
    await eve.greet(Ack())  # error: arg-type
    echo = await eve.greet(EchoMsg())  # error: assignment
    await eve.gret(EchoMsg())  # error: attr-defined
    await eve.greet(EchoMsg(), retries=3)  # error: call-arg
"""


def test_calls_of_a_reference_are_checked(tmp_path: Path) -> None:
    """Messages, answers, items and options, under `--strict`."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    out, error, _ = api.run(
        ["--strict", "--config-file=", "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    )
    assert not error
    found = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", out)}
    wanted = {
        number: line.partition("# error: ")[2]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "# error: " in line
    }
    assert found.keys() == wanted.keys(), out
    assert all(f"[{code}]" in found[number] for number, code in wanted.items()), out
