"""Reminders, the balance of actors and the slots of peers, from the command line."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from grid.embedded import Etcd
from tests.grid.cli.cli_kit import APP, Running, data, grid

Env = Mapping[str, str]


def test_reminders_are_listed_and_forgotten(there: Env) -> None:
    assert "no reminders in namespace" in grid("reminders", env=there).stderr
    grid("start", "sleeper", env=there)
    grid("request", "sleeper", "EchoMsg", '{"msg": "3600"}', env=there)
    [found] = data(grid("reminders", "--actor", "sleeper", "-o", "json", env=there))
    assert (found["actor"], found["name"], found["message"]) == ("sleeper", "ring", "grid.EchoMsg")
    assert 0 < found["due_in"] <= 3600
    assert "ring" in grid("reminders", env=there).stdout
    assert "forgot ring" in grid("forget", "sleeper", "ring", env=there).stderr
    assert grid("forget", "sleeper", "ring", env=there).returncode == 3
    grid("stop", "sleeper", env=there)


def test_what_is_balanced_is_left_alone(there: Env) -> None:
    data(grid("rebalance", "-o", "json", env=there))
    done = grid("rebalance", "-o", "json", env=there)
    assert data(done) == []
    assert "nothing to move in namespace" in done.stderr
    assert grid("rebalance", "--type", "a b", env=there).returncode == 2


async def test_a_variable_limits_the_actors_of_a_peer(grid_etcd: Etcd) -> None:
    env = {"GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": "slots", "GRID_SLOTS": "3"}
    with Running("serve", "tests.grid.cli.cli_app:make_server", env=env) as peer:
        await peer.says("serves slots")
        peer.signal(signal.SIGTERM)
        assert peer.ended() == 0
    with Running("serve", APP, "--slots", "1", env=env) as peer:  # which beats the variable
        await peer.says("serves slots")
        started = [grid("start", "echo", "--name", name, env=env) for name in ("e1", "e2", "e3")]
        assert "no free slot of its 1" in started[-1].stderr
