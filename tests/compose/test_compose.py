"""Peers in containers: what docs/deploy.md says, seen on a real engine.

The names of the images come from the variables of docker-compose.yml
(`PYTHON_IMAGE`, `ETCD_IMAGE`); a stand-in for either will do.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from grid.codec import Codec
from grid.mailbox.dispatcher import Dispatcher
from grid.transport.service import WireService
from grid.transport.settings import SessionSettings
from tests.compose.stack import (
    ROOT,
    Stack,
    address,
    compose_command,
    docker,
    eventually,
    exit_code,
    image_of,
    run,
)

pytestmark = pytest.mark.timeout(900)

LEASE = 8.0
ON_TOP = 4.0  # seconds for etcd to notice, and for a command in a container to start and ask
PEERS = 5
HELLO = '{"msg": "hello"}'


@pytest.fixture(scope="module")
def project(image: str) -> Iterator[Stack]:
    """Peers on one etcd; a test finds them however the one before left them."""
    stack = Stack("one", GRID_IMAGE=image, GRID_LEASE=f"{LEASE:g}")
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture
def stack(project: Stack) -> Stack:
    """Five peers that serve."""
    project.up(PEERS)
    return project


@pytest.fixture(scope="module")
def cluster(image: str) -> Iterator[Stack]:
    """Three peers on three members of etcd."""
    stack = Stack("three", "cluster-peer", GRID_IMAGE=image, GRID_LEASE=f"{LEASE:g}")
    try:
        stack.up(3)
        yield stack
    finally:
        stack.down()


def start_greeter(stack: Stack, name: str, container: str) -> None:
    """Start the actor on the peer in a container."""
    by_address = {row["address"]: row["name"] for row in stack.rows("peers")}
    peer = by_address[f"{address(container)}:7777"]
    stack.grid("start", "greeter", "--name", name, "--peer", peer)


def greeting(stack: Stack, name: str, *, on: str | None = None) -> str:
    """The actor's answer to a request from a container."""
    answer: dict[str, str] = json.loads(stack.grid("request", name, "EchoMsg", HELLO, on=on))
    return answer["msg"]


def gone(stack: Stack, name: str) -> bool:
    """True if neither an actor nor a mailbox has the name."""
    return name not in stack.names("actors") | stack.names("mailboxes")


def epochs(stack: Stack, kind: str) -> dict[str, int]:
    """The epoch of each name: the same epoch is the same registration."""
    return {row["name"]: row["epoch"] for row in stack.rows(kind)}


# -- the image -----------------------------------------------------------------------


def test_image_runs_as_nobody_and_compiles_nothing(image: str) -> None:
    look = "import os, shutil; print(os.getuid(), [shutil.which(c) for c in ('cc', 'gcc', 'g++')])"
    assert docker("run", "--rm", "--entrypoint", "python", image, "-c", look) == (
        "10001 [None, None, None]"
    )


def test_image_adds_less_than_120_mb_to_its_base(image: str) -> None:
    def size(name: str) -> int:
        return int(docker("image", "inspect", "--format", "{{.Size}}", name))

    assert size(image) - size(image_of("PYTHON_IMAGE")) < 120e6


# -- five peers ------------------------------------------------------------------------


def test_scaled_peers_advertise_the_addresses_of_their_containers(stack: Stack) -> None:
    rows = stack.wait_serving(PEERS)
    assert {row["address"] for row in rows} == {f"{address(c)}:7777" for c in stack.containers()}
    assert len({row["address"] for row in rows}) == PEERS


def test_containers_become_healthy_and_grid_is_the_one_process_below_init(stack: Stack) -> None:
    stack.wait_healthy()
    for container in stack.containers():
        lines = docker("top", container, "-o", "pid,ppid,args").splitlines()[1:]
        rows = [line.split(maxsplit=2) for line in lines]
        (first,) = (pid for pid, _, command in rows if "init" in command.partition(" ")[0])
        served = "/opt/grid/bin/grid serve examples.deployed:server"
        assert [parent for _, parent, command in rows if served in command] == [first]


def test_an_actor_answers_requests_from_other_containers(stack: Stack) -> None:
    home, other, *_ = stack.containers()
    start_greeter(stack, "alice", home)
    said = greeting(stack, "alice", on=other)
    assert said.startswith("hello from alice on ")
    client = ("run", "--rm", "--no-deps", "-T", "peer", "request", "alice", "EchoMsg", HELLO)
    assert json.loads(stack.compose(*client)) == {"msg": said}
    stack.grid("stop", "alice")


def test_names_of_a_killed_container_go_with_its_lease_and_it_comes_back(stack: Stack) -> None:
    home = stack.containers()[0]
    start_greeter(stack, "bob", home)
    docker("kill", home)
    killed = time.monotonic()
    left = stack.containers()[0]
    assert left != home
    eventually(lambda: gone(stack, "bob"), "bob's names are free", timeout=LEASE + ON_TOP)
    print(f"names of a killed container were free after {time.monotonic() - killed:.1f} s")
    stack.wait_serving(PEERS - 1)
    docker("start", home)
    stack.wait_serving(PEERS)
    start_greeter(stack, "bob", home)
    assert greeting(stack, "bob").startswith("hello from bob")
    stack.grid("stop", "bob")


def test_a_container_started_again_at_once_waits_for_its_old_lease(stack: Stack) -> None:
    home = stack.containers()[0]
    docker("kill", home)
    docker("start", home)  # its address is still locked by what it was
    eventually(
        lambda: len(stack.containers()) == PEERS and stack.wait_serving(PEERS),
        "all peers serve again",
    )


def test_docker_stop_frees_the_names_at_once(stack: Stack) -> None:
    home = stack.containers()[0]
    start_greeter(stack, "carol", home)
    asked = time.monotonic()
    docker("stop", home)
    stopped = time.monotonic()
    assert gone(stack, "carol")
    seen = time.monotonic()
    assert exit_code(home) == 0
    assert seen - asked < LEASE  # so it was not the lease that freed them
    print(f"stopped after {stopped - asked:.1f} s, and the names were free")
    assert len(stack.rows("peers")) == PEERS - 1


def test_docker_stop_right_after_the_start_does_not_wait_for_the_kill(stack: Stack) -> None:
    home = stack.containers()[0]
    docker("stop", home)
    docker("start", home)
    docker("stop", home)
    assert exit_code(home) != 128 + signal.SIGKILL


def test_a_job_runs_on_the_pool_of_all_peers_while_one_of_them_is_stopped(stack: Stack) -> None:
    eventually(
        lambda: [pool["ready"] for pool in stack.rows("pools") if pool["ready"] >= 3],
        "the workers are ready",
    )
    first, other, *_ = stack.containers()
    job = subprocess.Popen(
        ["docker", "exec", first, "python", "-m", "examples.deployed"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    docker("stop", other)
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 0, output
    counted, files = re.findall(r"(\d+) of (\d+) files have \d+ tokens", output)[0]
    assert counted == files
    assert len(re.findall(r"count-\w+ counted \d+ files", output)) > 1


# -- etcd goes and comes -----------------------------------------------------------------


def test_a_new_etcd_container_on_the_volume_keeps_every_name(stack: Stack) -> None:
    for _ in range(3):
        if gone(stack, "dave"):
            start_greeter(stack, "dave", stack.containers()[0])
        before = {kind: epochs(stack, kind) for kind in ("peers", "actors", "mailboxes")}
        began = time.monotonic()
        stack.compose("rm", "--stop", "--force", "etcd")
        stack.compose("up", "--detach", "--no-recreate", "etcd")
        stack.wait_serving(PEERS)
        away = time.monotonic() - began
        after = {kind: epochs(stack, kind) for kind in before}
        if after == before or away < LEASE - ON_TOP:
            break  # or else a busy machine took longer than the lease to replace it
    assert after == before
    assert greeting(stack, "dave").startswith("hello from dave")
    stack.grid("stop", "dave")


def test_peers_come_back_from_an_etcd_that_was_away_for_longer_than_the_lease(
    stack: Stack,
) -> None:
    running = set(stack.containers())
    start_greeter(stack, "erin", stack.containers()[0])
    stack.compose("stop", "etcd")
    time.sleep(LEASE + 2)  # how long it is away, not a wait for something
    stack.compose("start", "etcd")
    stack.wait_serving(PEERS)
    eventually(lambda: gone(stack, "erin"), "the actor ended with the lease", timeout=LEASE)
    assert set(stack.containers()) == running
    start_greeter(stack, "erin", stack.containers()[-1])
    assert greeting(stack, "erin").startswith("hello from erin")
    stack.grid("stop", "erin")


# -- three members of etcd -----------------------------------------------------------------


@pytest.mark.parametrize("member", ["etcd-1", "etcd-2", "etcd-3"])
def test_peers_go_on_without_one_member_of_etcd(cluster: Stack, member: str) -> None:
    start_greeter(cluster, "frank", cluster.containers()[0])
    before = epochs(cluster, "actors"), epochs(cluster, "peers")
    cluster.compose("kill", member)
    try:
        time.sleep(LEASE + 2)  # long enough for a lease that nobody keeps alive to end
        cluster.wait_serving(3)
        assert (epochs(cluster, "actors"), epochs(cluster, "peers")) == before
        assert greeting(cluster, "frank", on=cluster.containers()[1]).startswith("hello from frank")
        start_greeter(cluster, "grace", cluster.containers()[1])
        assert greeting(cluster, "grace").startswith("hello from grace")
    finally:
        cluster.compose("start", member)
    for name in ("frank", "grace"):
        cluster.grid("stop", name)
    cluster.wait_healthy()


def test_a_peer_starts_without_the_first_member_of_etcd(cluster: Stack) -> None:
    cluster.compose("kill", "etcd-1")
    try:
        docker("restart", cluster.containers()[0])
        cluster.wait_serving(3, timeout=LEASE + 20)
    finally:
        cluster.compose("start", "etcd-1")
        cluster.wait_serving(3)


# -- the manual ------------------------------------------------------------------------------


def test_the_commands_of_the_manual_work_as_written(image: str) -> None:
    manual = Stack("manual", GRID_IMAGE=image)
    command = " ".join(compose_command() or ())
    text = (ROOT / "docs" / "deploy.md").read_text()
    blocks = re.findall(r"^```sh docker\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    try:
        for block in blocks:
            script = block.replace("docker compose ", f"{command} ")
            run("bash", "-euo", "pipefail", "-c", script, timeout=600, env=manual.env)
            manual.wait_healthy()  # as a reader would
    finally:
        manual.down()


# -- without an engine -------------------------------------------------------------------------


def test_the_compose_file_has_the_services_it_promises() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("there is neither `docker compose` nor docker-compose")

    def listed(what: str) -> set[str]:
        return set(run(*command, "--profile", "cluster", "config", what).stdout.split())

    members = {"etcd-1", "etcd-2", "etcd-3"}
    assert listed("--services") == {"etcd", "peer", "cluster-peer"} | members
    assert listed("--volumes") == {"etcd"} | members


def test_the_compose_file_lets_peers_be_scaled() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"^\s*(container_name|ports|version):", text, re.MULTILINE)
    assert text.count("condition: service_healthy") == 4
    assert text.count("profiles: [cluster]") == 4


def test_the_image_takes_signals_without_a_shell_and_is_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert json.loads(_instruction(lines, "ENTRYPOINT")) == ["grid"]
    assert json.loads(_instruction(lines, "CMD"))[0] == "serve"
    assert _instruction(lines, "STOPSIGNAL") == "SIGTERM"
    assert int(_instruction(lines, "USER").partition(":")[0]) > 0


async def test_the_health_check_of_the_image_follows_the_health_of_the_peer() -> None:
    text = (ROOT / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK .*\\\n\s*CMD (\[.*\])$", text, re.MULTILINE)
    assert found
    _, *arguments = json.loads(found.group(1))

    async def check() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            str(os.getpid()),
            env={**os.environ, "http_proxy": "http://127.0.0.1:1", "GRID_LISTEN": "0.0.0.0:1"},
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()

    service = WireService("127.0.0.1:0", settings=SessionSettings(), reflection=False)
    await service.start(Dispatcher(Codec()))
    assert await check() == 1
    await service.set_serving(True)
    assert await check() == 0
    await service.set_serving(False)
    assert await check() == 1
    await service.stop(0)
    assert await check() == 1


def _instruction(lines: list[str], name: str) -> str:
    return next(line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} "))
