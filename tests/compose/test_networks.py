"""Containers whose addresses change, signals that come early, and proxies of the environment."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, address, docker, eventually, exit_code

pytestmark = pytest.mark.timeout(600)

LEASE = 15.0
_TMP = "/tmp"  # noqa: S108  # of the container
HELLO = '{"msg": "hello"}'


@pytest.fixture(scope="module")
def project(image: str) -> Iterator[Stack]:
    """Two peers on one etcd."""
    stack = Stack("net", GRID_IMAGE=image, GRID_LEASE=f"{LEASE:g}")
    try:
        yield stack
    finally:
        for one in docker("ps", "--all", "--quiet", f"--filter=label={stack.project}").split():
            docker("rm", "--force", one)
        stack.down()


@pytest.fixture
def stack(project: Stack) -> Stack:
    """Two peers that serve."""
    project.up(2)
    return project


def network(stack: Stack) -> str:
    """The network of the project."""
    return f"{stack.project}_default"


def run(stack: Stack, *arguments: str) -> str:
    """Run a container beside the peers; its id."""
    options = ("--detach", "--network", network(stack), "--label", stack.project)
    return docker("run", *options, *arguments)


def take_addresses(stack: Stack, count: int) -> list[str]:
    """Containers that take the addresses that are free now."""
    image = stack.env["GRID_IMAGE"]
    sleep = ("--entrypoint", "python", image, "-c", "import time; time.sleep(600)")
    return [run(stack, *sleep) for _ in range(count)]


def epochs(stack: Stack) -> dict[str, int]:
    """The epoch of each peer and actor."""
    rows = [*stack.rows("peers"), *stack.rows("actors")]
    return {row["name"]: row["epoch"] for row in rows}


def front_runs(stack: Stack) -> bool:
    """True once the greeter of the leader is there."""
    return "front" in stack.names("actors")


def test_an_etcd_that_moves_to_another_address_within_the_lease_costs_no_name(
    stack: Stack,
) -> None:
    eventually(lambda: front_runs(stack), "the leader and its greeter")
    (etcd,) = stack.containers("etcd")
    old, before = address(etcd), epochs(stack)
    docker("stop", "--time", "1", etcd)
    taken = take_addresses(stack, 2)
    docker("start", etcd)
    assert address(etcd) != old
    stack.wait_serving(2)
    answer = json.loads(stack.grid("request", "front", "EchoMsg", HELLO))
    assert answer["msg"].startswith("hello from front")
    assert epochs(stack) == before
    docker("rm", "--force", *taken)


def test_a_peer_under_another_address_joins_under_that_one(stack: Stack) -> None:
    peer, other = stack.containers()
    old = address(peer)
    docker("network", "disconnect", network(stack), peer)
    taken = take_addresses(stack, 3)
    docker("network", "connect", network(stack), peer)
    new = address(peer)
    assert new != old

    def joined() -> bool:
        rows = json.loads(stack.grid("peers", "--output", "json", on=other))
        return {row["address"] for row in rows if row["serving"]} == {
            f"{new}:7777",
            f"{address(other)}:7777",
        }

    eventually(joined, "the peer to serve under its new address", timeout=3 * LEASE)
    docker("rm", "--force", *taken)


def test_a_stop_in_the_first_moment_is_not_waited_for(stack: Stack) -> None:
    for _ in range(3):
        peer = stack.containers()[0]
        docker("kill", peer)
        docker("start", peer)
        docker("stop", "--time", "20", peer)
        assert exit_code(peer) != 128 + signal.SIGKILL
        docker("start", peer)


def test_a_proxy_of_the_environment_and_another_port_do_not_make_a_peer_unhealthy(
    stack: Stack,
) -> None:
    proxies = [
        option
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "grpc_proxy")
        for option in ("--env", f"{name}=http://127.0.0.1:1")
    ]
    limits = ("--read-only", "--tmpfs", _TMP, "--env", "GRID_ETCD=etcd:2379")
    served = ("serve", "examples.deployed:server", "--listen", "0.0.0.0:9000")
    peer = run(stack, *proxies, *limits, stack.env["GRID_IMAGE"], *served)

    def healthy() -> bool:
        return docker("inspect", "--format", "{{.State.Health.Status}}", peer) == "healthy"

    eventually(healthy, "the peer to be healthy", timeout=60)
    there = f"{address(peer)}:9000"
    rows = json.loads(stack.grid("peers", "--output", "json", on=peer))
    assert there in {row["address"] for row in rows if row["serving"]}
    name = next(row["name"] for row in rows if row["address"] == there)
    stack.grid("start", "greeter", "--name", "far", "--peer", name)
    assert json.loads(stack.grid("request", "far", "EchoMsg", HELLO, on=peer))["msg"].endswith(name)
    docker("rm", "--force", peer)
