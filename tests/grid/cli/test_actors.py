"""The command's view of actors: their states, restarts and errors, and the kept ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from grid.testing import wait_until
from tests.grid.cli.cli_kit import APP, Running, data, grid

Env = Mapping[str, str]


def poll(condition: Callable[[], bool]) -> None:
    asyncio.run(wait_until(condition, "what the command shows", timeout=30))


def test_a_crash_is_visible(there: Env) -> None:
    def fragile(*options: str) -> list[dict[str, Any]]:
        listed = data(grid("actors", "-o", "json", *options, env=there))
        return [one for one in listed if one["name"] == "fragile"]

    assert grid("start", "fragile", "--peer", "peer-2", env=there).returncode == 0
    assert grid("request", "fragile", "EchoMsg", env=there).returncode == 0
    poll(lambda: fragile()[0]["restarts"] == 1 and fragile()[0]["state"] == "running")
    (restarted,) = fragile()
    assert restarted["error"] == "OSError: no\ndisk"
    lines = grid("actors", env=there).stdout.splitlines()
    (line,) = [one for one in lines if one.startswith("fragile")]
    assert line.split()[2:4] == ["running", "1"]
    assert line.endswith("OSError: no disk")
    assert grid("request", "fragile", "EchoMsg", env=there).returncode == 0
    poll(lambda: not fragile())
    (failed,) = fragile("--failed")
    assert (failed["state"], failed["peer"], failed["address"]) == ("failed", "peer-2", None)
    assert failed["error_at"] > restarted["error_at"]
    assert grid("actors", "--failed", "--watch", env=there).returncode == 2


def test_kept_actors(there: Env) -> None:
    def row() -> dict[str, Any]:
        (found,) = data(grid("kept", "-o", "json", env=there))
        return dict(found)

    poll(lambda: not row()["missing"])
    assert row() == {"type": "steady", "keep": 2, "running": 2, "missing": []}
    done = grid("kept", "-n", "nobody", env=there)
    assert (done.stdout, "no kept actors in namespace 'nobody'" in done.stderr) == ("", True)


def test_a_peer_is_drained(there: Env) -> None:
    with Running("serve", APP, "--name", "peer-3", env=there) as serve:
        asyncio.run(serve.says("peer-3 serves"))
        assert grid("drain", "peer-3", "--timeout", "25", env=there).returncode == 0
        assert serve.ended() == 0
    again = grid("drain", "peer-3", env=there)
    assert again.returncode == 3
    assert "there is no peer 'peer-3'" in again.stderr
