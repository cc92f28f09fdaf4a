"""`python -m machine`: as users start it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from machine.cli.main import main

ROOT = Path(__file__).parents[3]
WATER = "Wet ?Water; Dry -Water; Water +Wet -Dry; Umbrella* ?Wet"
MODULE = """
import asyncio
from machine import Machine, States, state

class DoorStates(States):
    Opened = state(remove="Closed")
    Closed = state(auto=True, remove=Opened)
    Painted = state()
    Alarm = state()

class Door(Machine[DoorStates]):
    def OpenedEnter(self, code: str = ""):
        return code != "wrong"

    async def PaintedState(self):
        await asyncio.sleep(0.01)
        self.add("Alarm")

    def AlarmEnd(self):
        raise ValueError("stuck")

door = Door(id="front")
door.add("Opened")
nothing = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a schema in each form, which is the current one."""
    (tmp_path / "water.txt").write_text(f"# of water\n{WATER}")
    (tmp_path / "doors.py").write_text(MODULE)
    (tmp_path / "door.json").write_text('{"states": {"A": {"remove": ["B"]}, "B": null}}')
    (tmp_path / "door.toml").write_text('[states.A]\nremove = ["B"]\n[states.B]\n')
    (tmp_path / "door.yaml").write_text("states:\n  A: {remove: [B]}\n  B:\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "machine", *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# -- lint --------------------------------------------------------------------------------


def test_lint_says_nothing_about_a_clean_schema(folder: Path) -> None:
    done = command("lint", "water.txt")
    assert (done.returncode, done.stdout) == (0, "5 states, nothing to say\n")
    assert done.stderr == ""


def test_lint_finds_and_exits_with_1() -> None:
    done = command("lint", "-", given="A +B; B +C; C +D; D")
    assert done.returncode == 1
    assert "[add-too-deep]" in done.stdout
    assert "warnings: 1," in done.stdout


def test_lint_for_programs(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    Path("deep.txt").write_text("A +B; B +C; C +D; D")
    assert main(["lint", "deep.txt", "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["code"], found["level"], found["state"]) == ("add-too-deep", "warning", "A")
    assert main(["lint", "deep.txt", "--ignore", "add-too-deep:A"]) == 0


def test_a_remark_is_no_warning(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    Path("info.txt").write_text("M! +X; X")
    assert main(["lint", "info.txt"]) == 0
    assert "info: " in capsys.readouterr().out


def test_an_invalid_schema_is_told_whole(folder: Path) -> None:
    Path("bad.txt").write_text("A ?B +Z; B ?A")
    done = command("lint", "bad.txt", "-o", "json")
    assert done.returncode == 2
    assert "2 problems" in done.stderr
    assert {one["level"] for one in json.loads(done.stdout)} == {"error"}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("source", ["door.json", "door.toml", "door.yaml", "doors:DoorStates"])
def test_every_form_of_a_schema_is_read(folder: Path, source: str) -> None:
    assert main(["lint", source]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lint", "none.txt"], "there is no file none.txt"),
        (["lint", "."], "not a file"),
        (["lint", "nowhere:A"], "there is no module nowhere"),
        (["lint", "doors:Dor"], "did you mean 'Door'"),
        (["lint", "doors:nothing"], "this is no schema"),
        (["lint", "doors:asyncio.Task"], "neither a States class nor a Machine"),
        (["lint", "broken:A"], "ZeroDivisionError"),
        (["lint", "broken.json"], "broken.json"),
        (["lint", "broken.toml"], "broken.toml cannot be read"),
        (["lint", "broken.txt"], "cannot read"),
        (["draw", "water.txt", "-o", "no/where.svg"], "cannot write no/where.svg"),
        (["draw", "water.txt", "--active", "Watr"], "did you mean 'Water'"),
        (["draw", "water.txt", "--relations", "needs"], "unknown relation 'needs'"),
        (["run", "water.txt", "--script", "none"], "cannot read none"),
        (["run", "-"], "--script"),
    ],
)
def test_errors_of_users_have_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Path("broken.py").write_text("1 / 0")
    Path("broken.json").write_text("{")
    Path("broken.toml").write_text("= 1")
    Path("broken.txt").write_text("A ??B")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["lint"], ["draw"], ["run"]):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--help"])
        assert ended.value.code == 0
        assert "examples:\n  python -m machine" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["draw", "a", "--format", "gif"])
    assert ended.value.code == 2


# -- draw --------------------------------------------------------------------------------


def test_draw_writes_what_the_suffix_says(folder: Path) -> None:
    for name, begins in (
        ("a.svg", "<svg"),
        ("a.dot", "digraph"),
        ("a.mmd", "flowchart"),
        ("a.d2", "direction"),
    ):
        assert main(["draw", "water.txt", "-o", name, "--active", "Water, Wet"]) == 0
        assert Path(name).read_text(encoding="utf-8").startswith(begins)
    assert Path("a.svg").read_text(encoding="utf-8").count("box active") == 2


def test_draw_of_a_live_machine(folder: Path) -> None:
    done = command("draw", "doors:door", "--relations", "remove")
    assert done.returncode == 0
    assert 'Opened["Opened<br/><small>tick 1</small>"]:::active' in done.stdout
    assert 'title: "Door front"' in done.stdout
    assert command("draw", "doors.py:Door").returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_who_leaves_is_no_error(folder: Path) -> None:
    states = "; ".join(f"State{at}" for at in range(4000))
    Path("many.txt").write_text(states)
    shell = f"{sys.executable} -m machine draw many.txt | head -1"
    done = subprocess.run(
        ["sh", "-c", shell],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("flowchart RL\n", "")


# -- run ---------------------------------------------------------------------------------


def test_run_tells_what_relations_did(folder: Path) -> None:
    done = command("run", "water.txt", given="+Dry\n+Water\n?Dry\n\n# done\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "> +Water\nexecuted  (Wet:1 Water:1 Umbrella:1) [Dry:2 Exception:0]\n" in done.stdout
    told = [line.strip() for line in done.stdout.splitlines()]
    assert "blocked Dry by Water" in told
    assert "implied Wet by Water" in told
    assert "auto Umbrella: canceled" in told
    assert "rejected Umbrella by Wet" in told
    assert any(line.startswith("yes") for line in told)


def test_run_for_programs(folder: Path) -> None:
    Path("steps.txt").write_text("+Water\n+Wet,Dry\n=\n-Watr\n?-Water\n")
    done = command("run", "water.txt", "--script", "steps.txt", "-o", "jsonl")
    first, second, third, wrong, last = rows(done.stdout)
    assert first["result"] == "executed"
    assert first["active"] == ["Water", "Wet", "Umbrella"]
    assert first["ticks"]["Umbrella"] == 1
    kinds = [(one["kind"], one["auto"]) for one in first["transitions"]]
    assert kinds == [("add", False), ("add", True)]
    assert {"kind": "implied", "state": "Wet", "other": ["Water"]} in first["transitions"][0][
        "steps"
    ]
    assert second["result"] == "canceled"
    assert third["active"] == []
    assert wrong["line"] == 4
    assert "did you mean 'Water'" in wrong["error"]
    assert last["transitions"][0]["check"] is True
    assert done.returncode == 1


def test_run_of_a_machine_with_handlers(folder: Path) -> None:
    lines = ['+Opened {"code": "wrong"}', '+Opened {"code": "x"}', "+Painted", "wait 0.3", "-Alarm"]
    lines += ["inspect Exception", "story Painted", "active", "draw dot", "!from me", "quit", "+No"]
    done = command("run", "doors:Door", given="\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert "canceled  (" in out
    assert "cancel by OpenedEnter" in out
    assert "Alarm:1" in out, "the async handler did not work on while the prompt waited"
    assert "remove Alarm: canceled, ValueError: stuck" in out
    assert "1 Exception\n    |Tick     1\n" in out
    assert "Painted of " in out
    assert "digraph states {" in out
    assert "frozen" not in out
    assert "+No" not in out
    assert "Traceback" not in out


def test_run_can_be_strict_and_begin_anywhere(folder: Path) -> None:
    given = "?Umbrella\n"
    assert command("run", "water.txt", "--strict", "--active", "Water", given=given).returncode == 0
    done = command("run", "water.txt", "--strict", given="+Umbrella")
    assert done.returncode == 1
    assert command("run", "water.txt", given="+Umbrella").returncode == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jump", "unknown command 'jump'"),
        ("+", "which states?"),
        ("+Dry {", "no JSON object"),
        ("draw png", "unknown format 'png'"),
        ("wait long", "wait takes seconds"),
        ("inspect Nothing", "unknown state 'Nothing'"),
    ],
)
def test_a_line_that_is_wrong_is_told_and_the_next_one_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    Path("script").write_text(f"{line}\n+Dry\n")
    assert main(["run", "water.txt", "--script", "script"]) == 1
    out = capsys.readouterr().out
    assert "error in line 1: " in out
    assert said in out
    assert "executed  (Dry:1)" in out


@pytest.mark.skipif(os.name != "posix", reason="terminals")
def test_a_prompt_at_a_terminal_ends_with_its_input(folder: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "machine", "run", "water.txt"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
    ) as process:
        os.close(theirs)
        seen = b""
        for after, typed in ((b"> ", b"+Dry\n"), (b"by Wet\r\n> ", b"\x04")):
            while after not in seen:
                assert select.select([ours], [], [], 20)[0], seen
                seen += os.read(ours, 4096)
            # The prompt is shown a little before the terminal is set for it, and setting it
            # drops what was typed: so it is typed until there is an answer.
            while not select.select([ours], [], [], 0.5)[0] and process.poll() is None:
                os.write(ours, typed)
        _, error = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, error) == (0, b"")
    assert b"water: 5 states" in seen


@pytest.mark.skipif(os.name != "posix", reason="signals of a terminal")
def test_ctrl_c_ends_it_quietly(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "machine", "run", "water.txt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("+Dry\n")
        process.stdin.flush()
        assert process.stdout.readline() == "> +Dry\n"
        while "executed" not in process.stdout.readline():
            pass  # then it waits for the next line
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["x.gif", "x.PDF", "x.jpeg", "x.txt"])
def test_files_of_another_kind_are_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["draw", "water.txt", "-o", name]) == 2
    assert ".svg" in capsys.readouterr().err
    assert not Path(name).exists()
    assert main(["draw", "water.txt", "-o", name, "--format", "dot"]) == 0
    assert Path(name).read_text().startswith("digraph")


@pytest.mark.parametrize("arguments", [["-o", "x.png"], ["-f", "png", "-o", "x.bin"]])
def test_draw_writes_a_png(folder: Path, arguments: list[str]) -> None:
    assert main(["draw", "water.txt", *arguments]) == 0
    assert Path(arguments[-1]).read_bytes().startswith(b"\x89PNG\r\n")


def test_draw_names_the_extra_of_png(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["draw", "water.txt", "-o", "x.png"]) == 2
    assert "pip install 'actor-grid[png]'" in capsys.readouterr().err
    assert not Path("x.png").exists()
