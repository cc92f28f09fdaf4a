"""`grid serve` and `grid dev`: how they begin, and above all how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grid.embedded import Etcd
from grid.testing import wait_until
from tests.grid.cli.cli_kit import APP, GRID, Running, children, data, grid
from tests.processes import alive

# -- serve --------------------------------------------------------------------


async def test_serve_ends_cleanly(grid_etcd: Etcd) -> None:
    arguments = ("--etcd", grid_etcd.endpoint, "-n", "flags", "--name", "one", "--no-leader")
    with Running("serve", APP, *arguments) as peer:
        await peer.says("peer one serves flags at 127.0.0.1:")
        where = ("--etcd", grid_etcd.endpoint, "-n", "flags")
        assert [one["name"] for one in data(grid("peers", "-o", "json", *where))] == ["one"]
        assert grid("leader", *where).returncode == 3
        peer.signal(signal.SIGTERM)
        assert peer.ended() == 0
        assert data(grid("peers", "-o", "json", *where)) == []
    assert "".join(peer.out) == "the app is imported\n"


async def test_logs_may_be_json(grid_etcd: Etcd) -> None:
    arguments = ("--etcd", grid_etcd.endpoint, "-n", "logs", "--name", "one", "--no-leader")
    with Running("serve", APP, *arguments, "--log-format", "json") as peer:
        await peer.says("peer one serves logs at 127.0.0.1:")
        peer.signal(signal.SIGTERM)
        assert peer.ended() == 0
    lines = [json.loads(one) for one in "".join(peer.err).splitlines()]
    (serving,) = [one for one in lines if "serves logs" in one["message"]]
    assert serving["level"] == "info"
    assert serving["logger"].startswith("grid")
    assert serving["time"].endswith("+00:00")


async def test_every_option_has_a_variable(grid_etcd: Etcd) -> None:
    variables = {
        "GRID_ETCD": grid_etcd.endpoint,
        "GRID_NAMESPACE": "variables",
        "GRID_NAME": "two",
        "GRID_ANNOTATION": "b=2 a=1",
        "GRID_LISTEN": "0.0.0.0:0",
        "GRID_ADVERTISE": "localhost",
        "GRID_OUTPUT": "json",
        "GRID_LOG_LEVEL": "warning",
        "GRID_NO_LEADER": "1",
    }
    with Running("serve", "tests.grid.cli.cli_app:make_server", env=variables) as peer:
        seen: list[dict[str, object]] = []

        def there() -> bool:
            seen[:] = data(grid("peers", env=variables))
            return bool(seen)

        await peer.until(there, "the peer")
        assert seen[0]["name"] == "two"
        assert seen[0]["annotations"] == ["a=1", "b=2"]
        assert str(seen[0]["address"]).startswith("localhost:")
        peer.signal(signal.SIGINT)
        assert peer.ended() == 0
    assert peer.err == []


async def test_a_second_signal_cuts_the_drain(grid_etcd: Etcd) -> None:
    where = ("--etcd", grid_etcd.endpoint, "-n", "stubborn")
    with Running("serve", APP, *where, "--drain-timeout", "60") as peer:
        await peer.says("serves stubborn")
        assert grid("start", "stubborn", *where).returncode == 0
        peer.signal(signal.SIGTERM)
        await peer.says("stubborn goes on")
        peer.signal(signal.SIGTERM)
        began = time.monotonic()
        assert peer.ended() == 0
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        ("nowhere:server", 1, "error: there is no module 'nowhere'"),
        ("tests.grid.cli.cli_app:nothing", 1, "has no 'nothing'; it has server"),
        ("tests.grid.cli.cli_app:not_a_server", 1, "is 7, which is not a grid.Server"),
        ("tests.grid.cli.cli_app:make_nothing", 1, "returned None, which is not a grid.Server"),
        (
            "tests.grid.cli.cli_app:echo",
            1,
            "is a function, perhaps an actor, and not a grid.Server",
        ),
        ("tests.grid.cli.cli_app:echo", 1, "; it has server"),
        ("tests/grid/cli/cli_app.py", 2, "is a file; name the module: tests.grid.cli.cli_app"),
        ("a:b:c", 2, "is not module:server, for example examples.hello:server"),
    ],
)
def test_what_cannot_be_served(target: str, code: int, text: str) -> None:
    done = grid("serve", target)
    assert text in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "code", "text"),
    [
        (("--lease", "1"), 2, "lease duration too short: 1 s, the minimum is 2 s"),
        (("--listen", "0.0.0.0:0"), 2, "give the address to advertise as well"),
        (("--listen", "here"), 2, "address 'here': must be host:port"),
        (("--etcd", "127.0.0.1:1", "--timeout", "0.2"), 1, "hint: name etcd with --etcd or"),
        (("--on-lease-lost", "weep"), 2, "rejoin"),
        (("--slots", "0"), 2, "a whole number from 1"),
    ],
)
def test_what_a_peer_cannot_do(option: tuple[str, ...], code: int, text: str) -> None:
    done = grid("serve", APP, *option)
    assert text in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_the_app_comes_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import grid\nserver = grid.Server('mine')\n")
    done = grid("serve", "mine", "--describe", cwd=tmp_path)
    assert data(done) == {"namespace": "mine", "tls": None}


# -- dev ----------------------------------------------------------------------


async def test_dev_ends_cleanly_on_ctrl_c() -> None:
    with Running("dev", APP, "--peers", "2", "--lease", "3") as dev:
        await dev.says("2 peers serve; Ctrl-C ends it all")
        below = children(dev.process.pid)
        assert len([line for line in below.values() if " serve " in line]) == 2
        assert any("etcd" in line for line in below.values())
        await dev.says("peer-2 | ")
        dev.signal(signal.SIGINT)
        assert dev.ended() == 0
        await wait_until(lambda: not any(map(alive, below)), "everything below to end")
    assert sorted(dev.out) == [f"peer-{i} | the app is imported\n" for i in (1, 2)]
    left = [line for line in dev.err if line.endswith("left\n")]
    assert len(left) == 2
    assert "Traceback" not in "".join(dev.err)


async def test_dev_killed_leaves_no_process(tmp_path: Path) -> None:
    with Running("dev", APP, "--peers", "2", env={"TMPDIR": str(tmp_path)}) as dev:
        await dev.says("2 peers serve")
        below = children(dev.process.pid)
        assert len(below) >= 4
        dev.signal(signal.SIGKILL)
        dev.process.wait()
        await wait_until(
            lambda: not [line for pid, line in below.items() if alive(pid)],
            "peers and etcd to end",
            timeout=8,
        )


async def test_dev_says_that_a_peer_died_and_starts_it_again(tmp_path: Path) -> None:
    # A killed peer leaves its socket, which the next one removes after a while.
    env = {"TMPDIR": str(tmp_path)}
    with Running("dev", APP, "--peers", "2", "--lease", "2", env=env) as dev:
        await dev.says("2 peers serve")
        peers = _peers_of(dev)
        os.kill(peers["peer-1"], signal.SIGKILL)
        said = await dev.says("was ended by SIGKILL")
        assert said == f"peer-1 (pid {peers['peer-1']}) was ended by SIGKILL\n"
        await dev.says("starting peer-1 again in 0.5 s")
        await dev.until(lambda: _served(dev, "peer-1") == 2, "peer-1 to serve again", 30)
        assert dev.process.poll() is None
        # Ended in order, they stay ended.
        for pid in _peers_of(dev).values():
            os.kill(pid, signal.SIGTERM)
        await dev.says("peer-2 (pid")
        await dev.says("error: all peers have ended")
        assert dev.ended() == 1


async def test_a_second_ctrl_c_forces_dev() -> None:
    with Running("dev", APP, "--peers", "1", env={"GRID_DRAIN_TIMEOUT": "60"}) as dev:
        await dev.says("1 peer serves")
        line = await dev.says("export GRID_ETCD=")
        env = dict(part.split("=") for part in line.split()[1:])
        assert grid("start", "stubborn", env=env).returncode == 0
        below = children(dev.process.pid)
        dev.signal(signal.SIGINT)
        await dev.says("stubborn goes on")
        dev.signal(signal.SIGINT)
        began = time.monotonic()
        assert dev.ended() == 0
        assert time.monotonic() - began < 6
        await wait_until(lambda: not any(map(alive, below)), "everything below to end")


def test_dev_says_once_that_the_app_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text("import nothing_of_that_name\n")
    done = grid("dev", "buggy:server", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("No module named 'nothing_of_that_name'") == 1
    assert done.stderr.endswith("error: buggy:server cannot be served, see above\n")
    done = grid("dev", "nowhere")
    assert done.stderr.count("there is no module 'nowhere'") == 1


async def test_dev_ends_when_an_import_hangs(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('hangs', flush=True)\ntime.sleep(60)\n")
    with Running("dev", "slow", cwd=tmp_path) as dev:
        await dev.until(lambda: _importing(dev), "the import")
        below = children(dev.process.pid)
        dev.signal(signal.SIGINT)
        assert dev.ended() == 130
        await wait_until(lambda: not any(map(alive, below)), "everything below to end")


def test_dev_in_the_background_of_a_shell_says_how_to_end_it() -> None:
    line = f"set -m; {GRID} dev {APP} --peers 1 2>&1 & wait"
    terminal = "import pty, sys; pty.spawn(['bash', '-c', sys.argv[1]])"
    with subprocess.Popen(
        [sys.executable, "-c", terminal, line], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        shown = ""
        for one in shell.stdout:
            shown += one.decode()
            if "ends it all" in shown:
                break
        found = re.search(r"kill (\d+) ends it all", shown)
        assert found, shown
        os.kill(int(found[1]), signal.SIGTERM)
        shell.stdout.read()
    assert shell.returncode == 0


async def test_dev_starts_etcd_again() -> None:
    with Running("dev", APP, "--peers", "1") as dev:
        await dev.says("1 peer serves")
        endpoint = (await dev.says("export GRID_ETCD=")).split()[1].partition("=")[2]
        below = children(dev.process.pid)
        etcd = [pid for pid, line in below.items() if "--listen-client-urls" in line][-1]
        os.kill(etcd, signal.SIGKILL)
        await dev.says("has ended; starting it again")
        await dev.says(f"etcd serves again at {endpoint}")
        found = data(grid("peers", "-o", "json", "--etcd", endpoint, "-n", "cli"))
        assert [one["name"] for one in found] == ["peer-1"]
        dev.signal(signal.SIGINT)
        assert dev.ended() == 0


def _served(dev: Running, name: str) -> int:
    return len([line for line in dev.err if f"peer {name} serves" in line])


def _importing(dev: Running) -> bool:
    lines = children(dev.process.pid).values()
    return any("--describe" in line for line in lines) and any("etcd" in line for line in lines)


async def test_dev_keeps_data_and_takes_its_port(tmp_path: Path) -> None:
    with Etcd() as probe:
        port = probe.endpoint.rpartition(":")[2]
    arguments = ("--peers", "1", "--data", str(tmp_path / "data"), "--etcd-port", port)
    with Running("dev", APP, *arguments, "-n", "mine") as dev:
        await dev.says("1 peer serves")
        assert f"export GRID_ETCD=127.0.0.1:{port} GRID_NAMESPACE=mine\n" in dev.err
        taken = grid("dev", APP, "--etcd-port", port)
        assert taken.returncode == 1
        assert f"'127.0.0.1:{port}' is in use" in taken.stderr
        dev.signal(signal.SIGTERM)
        assert dev.ended() == 0
    assert (tmp_path / "data" / "member").is_dir()


async def test_dev_starts_again_on_the_data_of_one_that_was_killed(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    arguments = ("dev", APP, "--peers", "1", "--data", folder, "-n", "mine", "--lease", "60")
    # Peers that lost etcd with their owner leave their sockets.
    with Running(*arguments, env={"TMPDIR": str(tmp_path)}) as dev:
        await dev.says("1 peer serves")
        peers = _peers_of(dev)
        second = grid(*arguments)
        assert second.returncode == 1
        assert "is in use by process" in second.stderr
        dev.signal(signal.SIGKILL)
        dev.ended()
    for pid in peers.values():
        await wait_until(lambda pid=pid: not alive(pid), "the peers to end")  # type: ignore[misc]
    with Running(*arguments) as dev:
        await dev.says("1 peer serves")
        dev.signal(signal.SIGTERM)
        assert dev.ended() == 0


def _peers_of(dev: Running) -> dict[str, int]:
    found = {}
    for pid, line in children(dev.process.pid).items():
        words = line.split()
        if "serve" in words:
            found[words[words.index("--name") + 1]] = pid
    return found


# -- the command as a whole ---------------------------------------------------


def test_grpc_is_set_up_before_it_is_loaded() -> None:
    findings = {one["check"]: one for one in _doctor({})}
    assert "-event_engine_client" in findings["poller"]["detail"]
    findings = {one["check"]: one for one in _doctor({"GRPC_EXPERIMENTS": ""})}
    assert findings["poller"]["state"] == "note"


def _doctor(env: dict[str, str]) -> list[dict[str, str]]:
    done = grid("doctor", "-o", "json", "--etcd", "127.0.0.1:1", "--timeout", "0.2", env=env)
    assert done.returncode == 1
    findings: list[dict[str, str]] = json.loads(done.stdout)
    assert findings[-1]["check"] == "etcd 127.0.0.1:1"
    assert findings[-1]["state"] == "failed"
    assert "grid dev" in findings[-1]["fix"]
    return findings


def test_commands_of_other_packages(tmp_path: Path) -> None:
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[grid.commands]\nhello = guest:app\nwave = guest:wave\n"
        "broken = guest_that_is_not_there:app\nodd = guest:odd\n"
    )
    (tmp_path / "guest.py").write_text(
        "import typer\napp = typer.Typer()\nodd = 7\n"
        "@app.command()\ndef world(): print('hello world')\n"
        "@app.command()\ndef moon(): print('hello moon')\n"
        "def wave(): print('waves')\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    done = grid("hello", "moon", env=env)
    assert (done.returncode, done.stdout) == (0, "hello moon\n")
    assert "the command 'broken' of guest_that_is_not_there:app is broken: Module" in done.stderr
    assert "the command 'odd' of guest:odd is not a command: 7" in done.stderr
    assert grid("wave", env=env).stdout == "waves\n"


async def test_ctrl_c_while_it_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    info = tmp_path / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[grid.commands]\nslow = slow_command:app\n")
    (tmp_path / "slow_command.py").write_text(
        "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    with Running("slow", env={"PYTHONPATH": str(tmp_path)}) as command:
        await command.says("loading")
        command.signal(signal.SIGINT)
        assert command.ended() == 130
    assert command.err == ["loading\n"]


async def test_dev_ends_cleanly_before_its_peers_listen(tmp_path: Path) -> None:
    # The app is imported once to be described, and then by each peer.
    (tmp_path / "slow_app.py").write_text(
        "import sys, time, grid\nserver = grid.Server('slow')\n"
        "if '--owned' in sys.argv:\n    print('importing', flush=True)\n    time.sleep(60)\n"
    )
    with Running("dev", "slow_app", "--peers", "1", cwd=tmp_path) as dev:
        await dev.says("importing", on="out")
        dev.signal(signal.SIGINT)
        assert dev.ended() == 0
    assert not [line for line in dev.err if "was ended by" in line]


def test_without_etcd_there_is_a_hint() -> None:
    done = grid("peers", "--etcd", "127.0.0.1:1", "--timeout", "0.2")
    assert done.returncode == 1
    assert re.match(
        r"error: etcd: no answer from 127\.0\.0\.1:1 within 0\.2 s: connect: Connection refused",
        done.stderr,
    )
    assert "hint: name etcd with --etcd or GRID_ETCD, or start one" in done.stderr
