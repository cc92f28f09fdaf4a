"""The command as a whole: help, version, errors of use, start times."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import grid
from grid.cli._catalog import COMMANDS, GUESTS
from tests.grid.cli.cli_kit import grid as command
from tests.grid.cli.cli_kit import shell

EIGHTY = {"COLUMNS": "80"}
CONNECTION = ("--etcd", "127.0.0.1:1", "--timeout", "0.2")


@pytest.mark.parametrize("typed", [("--version",), ("-n", "x", "--version")])
def test_the_version(typed: tuple[str, ...]) -> None:
    done = command(*typed)
    assert (done.returncode, done.stdout) == (0, f"grid {grid.__version__}\n")


def test_python_m_grid_is_the_command() -> None:
    for module in ("grid", "grid.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"grid {grid.__version__}\n"


# -- help ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_a_screen_and_breaks_no_word(name: str) -> None:
    done = command(*filter(None, [name]), "--help", env=EIGHTY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    wide = command(*filter(None, [name]), "--help", env={"COLUMNS": "200"}).stdout
    assert done.stdout.split() == wide.split()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_begins_as_the_list_says(name: str) -> None:
    done = command(name, "--help")
    summary = COMMANDS[name].summary.rstrip(".")
    assert done.stdout.splitlines()[2].strip().startswith(summary)
    assert f"  $ grid {name}" in done.stdout


def test_help_names_the_commands_and_the_options_of_all() -> None:
    text = command("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"  {name} " in text
        assert entry.summary in text
    assert "GRID_ETCD" in text
    for name, entry in GUESTS.items():  # of other packages
        assert f"  {name} " in text
        assert entry.summary in text
        assert entry.summary in command(name, "--help").stdout
    assert command().stdout == text
    assert command().returncode == 2


# -- errors of use ------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (("pers",), "no such command 'pers' (did you mean 'peers'?)"),
        (("--wat", "peers"), "no such option: --wat"),
        (("--etcd",), "--etcd needs a value"),
        (("peers", "--timeout", "abc"), "--timeout must be a number of seconds above 0, not 'abc'"),
        (("peers", "--timeout", "-1"), "--timeout must be a number of seconds above 0, not '-1'"),
        (("--timeout", "inf", "peers"), "--timeout must be a number of seconds above 0, not 'inf'"),
        (("peers", "-o", "xml"), "--output must be one of table, wide, json, jsonl, not 'xml'"),
        (("dev", "a:b", "--peers", "0"), "--peers must be a whole number from 1 to 1000, not '0'"),
        (("dev",), "MODULE:SERVER is missing; see: grid dev --help"),
        (("stop", "a", "--grace", "-1"), "--grace must be a number of seconds 0 or more, not '-1'"),
        (("peers", "--etcd-ca", "/no/file"), "--etcd-ca: cannot read '/no/file': No such file"),
        (("leader", "a"), "unexpected argument 'a'; see: grid leader --help"),
        (("peers", "--wach"), "no such option: --wach (did you mean --watch?)"),
        (("peers", "--watch=1"), "--watch takes no value"),
        (("peers", "-o"), "--output needs a value"),
        (("broadcast", "a"), "--type is missing"),
        (("request", "a", "EchoMsg", "[" * 50_000), "the JSON is nested too deeply"),
        (("request", "a", "Bid", '{"by": "\\ud800"}', "--plain"), "not a Bid: 'utf-8' codec"),
        (("request", "a", "Bid", '{"n": NaN}', "--plain"), "not a Bid: Out of range float"),
        (("request", "a", "Bid\udcff"), "TYPE must be text in UTF-8, not 'Bid\\udcff'"),
        (("start", "a", "--data", "\udcff"), "--data must be text in UTF-8, not '\\udcff'"),
        (("peers", "--etcd-user", "\udcff"), "--etcd-user must be text in UTF-8"),
        (("serve", ".app"), "'.app' is not the name of a module"),
    ],
)
def test_what_is_typed_wrong_is_said_in_one_line(typed: Sequence[str], text: str) -> None:
    done = command(*typed)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert (done.returncode, done.stdout) == (2, "")


def test_a_password_that_is_no_text_is_not_shown() -> None:
    done = command("peers", "--etcd-password", "secret\udcff")
    assert (done.returncode, done.stderr) == (2, "error: --etcd-password must be text in UTF-8\n")


def test_options_of_the_connection_stand_before_the_command_or_after_it() -> None:
    env = {"GRID_ETCD": "127.0.0.1:2"}
    after = command("peers", *CONNECTION, env=env)
    assert "127.0.0.1:1 within 0.2 s" in after.stderr
    for typed in (
        (*CONNECTION, "peers"),
        ("--etcd=127.0.0.1:1", "--timeout=0.2", "peers"),
        ("--etcd", "127.0.0.1:3", "peers", *CONNECTION),
    ):
        done = command(*typed, env=env)
        assert (done.returncode, done.stderr) == (after.returncode, after.stderr)


@pytest.mark.parametrize(
    "typed",
    [
        ("request", "a", "EchoMsg"),
        ("broadcast", "a", "b", "--type", "EchoMsg"),
        ("start", "a"),
        ("stop", "a"),
        ("drain", "a"),
        ("rebalance",),
        ("peers",),
        ("actors",),
        ("mailboxes",),
        ("kept",),
        ("reminders",),
        ("forget", "a", "b"),
        ("leader",),
    ],
    ids=lambda typed: typed[0],
)
def test_without_etcd_each_command_names_it_and_says_what_to_do(typed: tuple[str, ...]) -> None:
    done = command(*typed, *CONNECTION)
    assert done.returncode == 1
    assert "no answer from 127.0.0.1:1 within 0.2 s" in done.stdout + done.stderr
    assert done.stderr.count("hint: name etcd with --etcd or GRID_ETCD") == 1


# -- standard streams ---------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-", "<&- >/dev/null 2>&-"])
def test_closed_streams_are_no_harm(closed: str) -> None:
    line = f"grid peers --etcd 127.0.0.1:1 --timeout 0.2 {closed}"
    assert shell(line).returncode == 1


@pytest.mark.parametrize(
    ("target", "cause"), [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left")]
)
def test_data_that_cannot_be_printed_goes_to_stderr(target: str, cause: str) -> None:
    done = shell(f"grid --version {target}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot write to standard output: {cause}")
    assert done.stderr.endswith(f"grid {grid.__version__}\n")
    assert "Traceback" not in done.stderr


# -- start times --------------------------------------------------------------


def test_a_command_imports_what_it_needs_and_no_more() -> None:
    script = (
        "import sys; sys.argv = ['grid', *sys.argv[1:]]\n"
        "from grid.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({one.partition('.')[0] for one in sys.modules}), file=sys.stderr)"
    )

    def imported(*typed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, *typed], capture_output=True, text=True, check=True
        )
        return done.stderr

    for typed in (("--help",), ("--version",)):
        for heavy in ("typer", "rich", "asyncio", "grpc", "google"):
            assert f"'{heavy}'" not in imported(*typed)
    for heavy in ("typer", "rich", "asyncio", "grpc", "google"):
        assert f"'{heavy}'" not in imported("peers", "--help")


@pytest.mark.parametrize(
    ("typed", "env", "most"),
    [
        (("--help",), {}, 11.5),
        (("peers", "--help"), {}, 15.4),
        (
            (),
            {
                "_GRID_COMPLETE": "complete_bash",
                "COMP_WORDS": "grid stop ",
                "COMP_CWORD": "2",
                "GRID_ETCD": "127.0.0.1:1",
            },
            23,
        ),
    ],
    ids=["help", "help of a command", "completion"],
)
def test_start_times(typed: tuple[str, ...], env: dict[str, str], most: float) -> None:
    """CPU time, as a multiple of bare Python's.

    Other processes on the same core make both longer, not by the same factor, so the least of
    several runs is taken, and of more of them on a busy machine.
    """
    program = str(Path(sys.executable).with_name("grid"))
    bare = own = float("inf")
    for turn in range(25):
        bare = min(bare, _cpu_seconds([sys.executable, "-c", "pass"], {}))
        own = min(own, _cpu_seconds([program, *typed], env))
        if turn >= 4 and own < most * bare:
            break
    assert own < most * bare


def _cpu_seconds(command_line: Sequence[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command_line, env={**os.environ, **env}, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
