"""`grid machines` and `grid machine`, on a machine of another process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping

import pytest

from rpc.cli.repl import completions
from tests.grid.cli.cli_kit import Running, data, grid, shell

Env = Mapping[str, str]
APP = "tests.rpc.cli.lights_app:server"


@pytest.fixture(scope="module")
def there() -> Iterator[Env]:
    """The variables that lead to a grid with a served machine."""
    with Running("dev", APP, "--peers", "2") as dev:
        asyncio.run(dev.says("2 peers serve"))
        line = asyncio.run(dev.says("export GRID_ETCD="))
        env = dict(part.split("=") for part in line.split()[1:])
        assert grid("start", "lights", env=env).returncode == 0
        yield env
        dev.signal(signal.SIGTERM)
        assert dev.ended() == 0


def test_served_machines_are_listed(there: Env) -> None:
    (row,) = data(grid("machines", "-o", "json", env=there))
    assert row["name"] == "crossing"
    assert "crossing" in grid("machines", env=there).stdout
    empty = grid("machines", "-n", "nothing-here", env=there)
    assert (empty.returncode, empty.stdout) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["machines", "--tls-ca", "none.pem"],
        ["machine", "crossing", "--tls-ca=none.pem"],
        ["--tls-ca", "none.pem", "services"],
        ["pools", "--tls-ca", "none.pem"],
    ],
    ids=lambda words: "-".join(words),
)
def test_each_command_has_the_options_of_tls(there: Env, words: list[str]) -> None:
    done = grid(*words, env=there)
    assert done.returncode == 2
    assert "ca of tls" in done.stderr
    assert "none.pem" in done.stderr


def test_a_machine_is_shown_changed_and_awaited(there: Env) -> None:
    shown = data(grid("machine", "crossing", "set", "Red", "-o", "json", env=there))
    assert shown["machine"] == "crossing"
    assert shown["active"] == ["Red"]
    done = grid("machine", "crossing", "add", "Green", "--arg", "by=kim", env=there)
    assert (done.returncode, done.stderr) == (0, "executed\n")
    assert done.stdout.startswith("(Green:")
    assert "|Remove" in grid("machine", "crossing", "--inspect", env=there).stdout
    assert "Green" in grid("machine", "crossing", "--diagram", "mermaid", env=there).stdout
    assert grid("machine", "crossing", "when", "Green", env=there).returncode == 0


def test_each_failure_has_its_exit_code(there: Env) -> None:
    def code(*words: str) -> tuple[int, str]:
        done = grid("machine", *words, env=there)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    assert code("crossing", "add", "Blue")[0] == 2
    assert code("crossing", "paint", "Red")[0] == 2
    assert code("crossing", "add")[0] == 2
    assert code("crossing", "add", "Red", "--arg", "by=" + "[" * 50_000)[0] == 2
    assert code("nothing-here")[0] == 3
    assert code("crossing", "when", "Broken", "--timeout", "0.5")[0] == 4
    denied = code("crossing", "add", "Broken")
    assert denied[0] == 1
    assert "may not mutate Broken" in denied[1]
    assert code("crossing", "set", "Red", "Broken", "--token", "owner")[0] == 0
    assert code("crossing", "add", "Green") == (1, "canceled\n")
    assert code("crossing", "remove", "Broken", "--token", "owner")[0] == 0


@pytest.mark.parametrize("words", [["when", "Red"], ["repl"], ["--watch"]])
def test_a_name_that_is_not_there_is_told_at_once(there: Env, words: list[str]) -> None:
    done = grid("machine", "nothing-here", *words, "--timeout", "60", env=there)
    assert done.returncode == 3
    assert "nothing-here" in done.stderr
    assert done.stderr.endswith("hint: see which machines are served: grid machines\n")
    assert not done.stdout


def test_a_wait_of_a_pipe_ends_after_the_timeout(there: Env) -> None:
    lines = ["set Red", "when Broken", "not Red", "show"]
    words = ("machine", "crossing", "repl", "--timeout", "0.5")
    done = grid(*words, env=there, stdin="\n".join(lines))
    assert done.returncode == 1
    assert done.stderr.count("within 0.5 s") + done.stderr.count("after 0.5 s") == 2
    assert done.stdout.splitlines()[-1].startswith("(Red:")


def test_lines_of_a_pipe_use_a_machine(there: Env) -> None:
    lines = [
        "set Red",
        "add Green by=kim",
        "when Green",
        "show",
        "get asked_by",
        "draw dot",
        "draw png",
        "# a comment",
        "add Broken",
        "paint Red",
        "quit",
        "add Red",
    ]
    done = grid("machine", "crossing", "repl", env=there, stdin="\n".join(lines))
    assert done.returncode == 1
    out = done.stdout.splitlines()
    assert out[0].startswith("executed  (Red:")
    assert out[1].startswith("executed  (Green:")
    assert out[2].startswith("(Green:")
    assert out[2] == out[3]
    assert out[4] == "'kim'"
    assert "digraph" in out[5]
    assert "executed" not in "".join(out[5:])
    assert "may not mutate Broken" in done.stderr
    assert "there is no 'paint'" in done.stderr
    assert "a png is no text" in done.stderr
    assert grid("machine", "crossing", "repl", env=there, stdin="show\n").returncode == 0


def test_words_and_states_are_completed() -> None:
    names = ["Red", "Green", "Broken"]
    assert completions([], "s", names) == ["set", "show", "sync"]
    assert completions(["add"], "", names) == names
    assert completions(["add", "Red"], "", names) == ["Green", "Broken"]
    assert completions(["when"], "B", names) == ["Broken"]
    assert completions(["draw"], "m", names) == ["mermaid"]
    assert completions(["log"], "R", names) == []


async def test_a_machine_is_followed_until_ctrl_c(there: Env) -> None:
    with Running("machine", "crossing", "--watch", "-o", "jsonl", env=there) as watching:
        first = json.loads(await watching.says("crossing", on="out"))
        other = "Green" if "Red" in first["active"] else "Red"
        assert grid("machine", "crossing", "set", other, env=there).returncode == 0
        line = await watching.says(f'"active": ["{other}"]', on="out")
        assert json.loads(line)["active"] == [other]
        watching.signal(signal.SIGINT)
        assert watching.ended() == 0


@pytest.mark.parametrize("output", ["table", "jsonl"])
def test_a_watch_ends_when_nobody_reads(there: Env, output: str) -> None:
    # The machine does not change: that the reader has gone is noticed all the same.
    line = f"grid machine crossing --watch -o {output} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = shell(line, env=there)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_reader_that_has_gone_is_no_failure(there: Env) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = grid("machines", env=there, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
