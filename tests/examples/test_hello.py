"""The quickstart, as its user types it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.processes import Command, run

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[dict[str, str]]:
    """`grid dev` runs; what it says to export."""
    command = Command("grid.cli", "dev", "examples.hello:server", "--peers", "2", tmp=tmp_path)
    output = command.read_until("peers serve")
    yield dict(re.findall(r"(GRID_\w+)=(\S+)", output))
    command.signal(signal.SIGINT)
    assert command.finish() == 0, command.output
    assert not command.left()


def test_bob_greets(exported: dict[str, str], tmp_path: Path) -> None:
    def grid(*arguments: str) -> tuple[int, str]:
        return run("grid.cli", *arguments, tmp=tmp_path, **exported)

    code, output = grid("start", "greeter", "--name", "bob")
    assert code == 0, output
    code, output = grid("request", "bob", "grid.EchoMsg", '{"msg": "hi"}')
    assert code == 0, output
    assert re.search(r'"msg": *"hi from bob on peer-\d"', output)
    code, output = grid("request", "bob", "grid.Ack", "{}")
    assert code == 1
    assert "cannot greet a Ack" in output


def test_it_is_short() -> None:
    assert len(HELLO.read_text().splitlines()) <= 20
