"""The Kubernetes manifest of docs/deploy.md: valid by Kubernetes' own schemas, and true.

No cluster is needed: the manifest is checked strictly, field by field, and what it says of the
command (arguments, variables, ports, probes, times) is done with a real peer.
"""

from __future__ import annotations

import asyncio
import copy
import re
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.server import lifecycle
from grid.server.foreground import PATIENCE
from grid.testing import wait_until
from tests.grid.cli.cli_kit import Running, grid

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
IMAGE = (ROOT / "Dockerfile").read_text()
(MANIFEST,) = re.findall(r"^```yaml kubernetes\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
VERSIONS = ("1.27", "1.31", "1.34")  # gRPC probes are stable since 1.27

_APP = """
import grid

server = grid.Server()


@server.actor("till", mailbox=64)
async def till(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)
"""


@pytest.fixture
def deployment() -> Any:
    (one,) = yaml.safe_load_all(MANIFEST)
    return one


@pytest.fixture
def pod(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]


@pytest.fixture
def peer(pod: Any) -> Any:
    (container,) = pod["containers"]
    return container


def variables(container: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


def image_variables() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(re.findall(r"(GRID_\w+)=(\S+)", IMAGE))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifest_is_valid(version: str, deployment: Any) -> None:
    kubernetes_validate.validate(deployment, version, strict=True)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("spec",),
        ("spec", "template", "spec"),
        ("spec", "template", "spec", "containers", 0),
        ("spec", "template", "spec", "containers", 0, "readinessProbe"),
        ("spec", "template", "spec", "containers", 0, "securityContext"),
    ],
    ids=str,
)
def test_an_unknown_field_would_be_noticed(path: tuple[str | int, ...], deployment: Any) -> None:
    wrong = copy.deepcopy(deployment)
    place = wrong
    for step in path:
        place = place[step]
    place["noSuchField"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="noSuchField"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_selector_finds_the_pods(deployment: Any) -> None:
    wanted = deployment["spec"]["selector"]["matchLabels"]
    assert wanted
    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_ports_are_those_of_the_image(peer: Any) -> None:
    port = int(image_variables()["GRID_LISTEN"].rpartition(":")[2])
    assert [one["containerPort"] for one in peer["ports"]] == [port]
    assert peer["readinessProbe"]["grpc"]["port"] == port
    assert f"EXPOSE {port}\n" in IMAGE
    # The health of etcd is no reason to restart a peer.
    assert "livenessProbe" not in peer


def test_variables_are_those_of_the_command(peer: Any) -> None:
    flags = set(re.findall(r"--[a-z-]+", grid("serve", "--help").stdout))
    for name in variables(peer).keys() | image_variables().keys():
        assert "--" + name.removeprefix("GRID_").lower().replace("_", "-") in flags
    assert not variables(peer).keys() & image_variables().keys()


def test_a_pod_has_the_time_to_leave(pod: Any, peer: Any) -> None:
    leaving = lifecycle._GRACE + 2 * lifecycle._LAST_ANSWERS + PATIENCE
    assert "and 8 seconds to leave" in MANIFEST
    assert leaving + 2.0 <= 8  # the two seconds that cancelled actors have
    drain = float(variables(peer)["GRID_DRAIN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] >= drain + 8
    assert pod["terminationGracePeriodSeconds"] > float(variables(peer)["GRID_LEASE"])


def test_the_user_and_the_folders_are_those_of_the_image(pod: Any, peer: Any) -> None:
    assert f"USER {pod['securityContext']['runAsUser']}:" in IMAGE
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert compose["x-image"]["read_only"] is peer["securityContext"]["readOnlyRootFilesystem"]
    mounts = {one["name"]: one["mountPath"] for one in peer["volumeMounts"]}
    assert list(mounts.values()) == compose["x-image"]["tmpfs"]
    assert {one["name"] for one in pod["volumes"]} == mounts.keys()
    assert pod["shareProcessNamespace"] is True
    assert 'ENTRYPOINT ["grid"]' in IMAGE  # so `args` follow it
    assert "command" not in peer


async def test_a_peer_does_what_the_manifest_says(
    peer: Any, grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(_APP)
    port = free_ports(1)[0]
    environment = image_variables() | variables(peer)
    environment |= {
        "PYTHONPATH": str(tmp_path),
        "GRID_ETCD": grid_etcd.endpoint,
        "GRID_NAMESPACE": grid_namespace,
        "GRID_LISTEN": environment["GRID_LISTEN"].replace("7777", str(port)),
    }
    with Running(*peer["args"], env=environment, cwd=tmp_path) as running:
        await running.says("serves")
        probe = peer["readinessProbe"]
        assert _health(port, probe["grpc"].get("service", "")) == "SERVING"
        (command,) = re.findall(r"exec: {command: \[(.*?)\]", PAGE)
        _, *arguments = command.split(", ")
        checking = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, str(running.process.pid)
        )
        assert await checking.wait() == 0
        (listing,) = re.findall(r"kubectl exec deploy/shop -- (.*?)`", PAGE)
        with Running(*listing.split()[1:], env=environment) as listed:
            assert listed.ended() == 0
            assert f":{port}" in "".join(listed.out)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    await wait_until(lambda: _health(port, "") == "", "nothing answers the probe")


def _health(port: int, service: str) -> str:
    """The answer to a gRPC probe; empty if there is none."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        except grpc.RpcError:
            return ""
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
