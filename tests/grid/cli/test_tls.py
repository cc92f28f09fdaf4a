"""TLS of the command: peers, clients, `grid dev`, `grid doctor` and the health check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.embedded import Etcd
from tests.grid.cli.cli_kit import APP, Running, data
from tests.grid.cli.cli_kit import grid as run
from tests.grid.tls_kit import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def env(grid_etcd: Etcd, grid_namespace: str) -> dict[str, str]:
    return {"GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}


def options(authority: Authority, name: str) -> list[str]:
    cert, key = authority.issue(name)
    return ["--tls-ca", str(authority.ca), "--tls-cert", str(cert), "--tls-key", str(key)]


def variables(authority: Authority, name: str) -> dict[str, str]:
    cert, key = authority.issue(name)
    return {
        "GRID_TLS_CA": str(authority.ca),
        "GRID_TLS_CERT": str(cert),
        "GRID_TLS_KEY": str(key),
    }


@pytest.fixture
def peer(authority: Authority, env: dict[str, str]) -> Iterator[Running]:
    arguments = ("serve", APP, "--name", "one", *options(authority, "peer"))
    # As clients of other hosts see it: without a unix socket.
    with Running(*arguments, "--advertise", "127.0.0.1", env=env) as running:
        yield running


def probe(peer: Running, env: dict[str, str] | None = None) -> int:
    """The exit code of the health check that containers make."""
    arguments = [sys.executable, "-m", "grid.cli.health", str(peer.process.pid)]
    inside = {**os.environ, **(env or {})}
    return subprocess.run(arguments, env=inside, check=False, timeout=30).returncode


async def test_commands_to_a_peer_with_tls(
    peer: Running, authority: Authority, env: dict[str, str]
) -> None:
    await peer.says("serves")
    assert run("start", "echo", *options(authority, "client"), env=env).returncode == 0
    by_variables = env | variables(authority, "other")
    asked = run("request", "echo", "EchoMsg", '{"msg": "hi"}', env=by_variables)
    assert data(asked) == {"msg": "hi"}
    refused = run("request", "echo", "EchoMsg", "{}", env=env)
    assert refused.returncode == 1
    assert "it speaks TLS only, and this client has none" in refused.stderr


async def test_the_doctor_and_the_health_check_of_a_peer_with_tls(
    peer: Running, authority: Authority, env: dict[str, str]
) -> None:
    await peer.says("serves")
    assert probe(peer, variables(authority, "peer")) == 0
    assert probe(peer) == 1  # it asks for a certificate, and there is none
    findings = data(run("doctor", "-o", "json", *options(authority, "client"), env=env))
    assert "failed" not in {one["state"] for one in findings}
    without = run("doctor", "-o", "json", env=env)
    assert without.returncode == 1
    (found,) = [one for one in json.loads(without.stdout) if one["state"] == "failed"]
    assert found["check"] == "peer one"
    assert "tls=grid.TLS" in found["fix"]


async def test_the_health_check_needs_no_variable_where_no_certificate_is_asked_for(
    authority: Authority, env: dict[str, str]
) -> None:
    files = options(authority, "peer")
    with Running("serve", APP, *files, "--tls-no-client-certificate", env=env) as peer:
        await peer.says("serves")
        assert probe(peer) == 0


async def test_grid_dev_with_tls(authority: Authority) -> None:
    files = options(authority, "peer")
    with Running("dev", APP, "--peers", "2", *files, "--log-level", "warning") as dev:
        await dev.says("2 peers serve")


@pytest.mark.parametrize("by", ["variables", "options"])
async def test_grid_dev_with_a_token(authority: Authority, by: str) -> None:
    arguments = options(authority, "peer") if by == "options" else []
    env = variables(authority, "peer") if by == "variables" else {}
    env |= {"GRID_TOKEN": "hunter2"}
    with Running("dev", APP, "--peers", "1", "--log-level", "warning", *arguments, env=env) as dev:
        await dev.says("1 peer serves")


def test_the_settings_of_an_app_are_printed_without_its_token(
    authority: Authority, env: dict[str, str]
) -> None:
    by_variables = env | variables(authority, "peer") | {"GRID_TOKEN": "hunter2"}
    done = run("serve", APP, "--describe", env=by_variables)
    described = json.loads(done.stdout.splitlines()[-1])
    assert described["tls"]["ca"] == str(authority.ca)
    assert "hunter2" not in done.stdout + done.stderr


def test_files_that_do_not_fit_are_usage_errors(authority: Authority, env: dict[str, str]) -> None:
    cert, _ = authority.issue("one")
    half = run("peers", "--tls-cert", str(cert), env=env)
    assert (half.returncode, half.stderr.count("\n")) == (2, 1)
    assert "a cert with its key" in half.stderr
    without = run("serve", APP, "--tls-ca", str(authority.ca), env=env)
    assert without.returncode == 2
    assert "given its cert and key" in without.stderr
    missing = run("peers", env={**env, "GRID_TLS_CA": "/no/file"})
    assert missing.returncode == 2
    assert "cannot read '/no/file'" in missing.stderr
