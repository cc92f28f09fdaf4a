"""Compose projects for the tests: each under a name of its own, and gone at the end."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "ROOT",
    "Stack",
    "address",
    "compose_command",
    "docker",
    "eventually",
    "exit_code",
    "image_of",
    "need_engine",
    "run",
]

ROOT = Path(__file__).parents[2]

_IMAGES = {
    "PYTHON_IMAGE": "python:3.11-slim",
    "ETCD_IMAGE": "quay.io/coreos/etcd:v3.5.21",
}


def run(
    *command: str, timeout: float = 120, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it said is in the error if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**_environment(), **(env or {})},
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done


def _environment() -> dict[str, str]:
    # Without what would make compose look at another project than the repository's.
    return {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}


def docker(*arguments: str, timeout: float = 120) -> str:
    """The output of a docker command."""
    return run("docker", *arguments, timeout=timeout).stdout.strip()


def _works(*command: str, timeout: float = 30) -> bool:
    try:
        return run(*command, timeout=timeout, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@functools.cache
def compose_command() -> tuple[str, ...] | None:
    """The command for compose: `COMPOSE` if set, else the plugin, else docker-compose."""
    if given := os.environ.get("COMPOSE"):
        return tuple(given.split())
    if _works("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else None


def image_of(variable: str) -> str:
    """The image that a variable names, or its default."""
    return os.environ.get(variable) or _IMAGES[variable]


@functools.cache
def _engine_problem() -> str | None:
    if not _works("docker", "info"):
        return "no Docker engine answers `docker info`"
    if compose_command() is None:
        return "there is neither `docker compose` nor docker-compose"
    for variable in _IMAGES:
        image = image_of(variable)
        if not _works("docker", "image", "inspect", image) and not _works(
            "docker", "pull", "--quiet", image, timeout=180
        ):
            return f"the image {image} is not here and cannot be pulled; {variable} names another"
    return None


def need_engine() -> None:
    """Skip the test where it cannot run."""
    if problem := _engine_problem():
        pytest.skip(problem)


def eventually(condition: Callable[[], Any], description: str, *, timeout: float = 60) -> Any:
    """Poll until the condition is true, and return what it is then."""
    give_up_at = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < give_up_at, f"not within {timeout:g} s: {description}"
        time.sleep(0.2)
    return result


class Stack:
    """A compose project of the repository's docker-compose.yml.

    Args:
        name: what the project is called, besides the test process's number.
        peers: the service that the peers are of.
        variables: for docker-compose.yml, over those of the environment.
    """

    def __init__(self, name: str, peers: str = "peer", **variables: str) -> None:
        self.project = f"grid-test-{name}-{os.getpid()}"
        self.peers = peers
        self.env = {
            "GRID_BUILD_NETWORK": "host",
            **{key: image_of(key) for key in _IMAGES},
            **variables,
            "COMPOSE_PROJECT_NAME": self.project,
        }

    def compose(self, *arguments: str, timeout: float = 180) -> str:
        """Run compose, with the project's every profile on."""
        command = compose_command()
        assert command is not None
        return run(
            *command, "--profile", "cluster", *arguments, timeout=timeout, env=self.env
        ).stdout

    def up(self, peers: int) -> None:
        """So many peers, all of them serving; what was stopped runs again."""
        scale = ("--scale", f"{self.peers}={peers}")
        self.compose("up", "--detach", "--no-recreate", *scale, self.peers)
        self.wait_serving(peers)

    def down(self) -> None:
        """Remove all of it: containers, networks, volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def containers(self, service: str | None = None, *, stopped: bool = False) -> list[str]:
        """The ids of a service's containers; by default of those peers that run."""
        labels = {
            "project": self.project,
            "service": service or self.peers,
            "oneoff": "False",
        }
        filters = [f"--filter=label=com.docker.compose.{key}={labels[key]}" for key in labels]
        return docker("ps", "--quiet", *filters, *(["--all"] if stopped else [])).split()

    def grid(self, *arguments: str, on: str | None = None) -> str:
        """The output of the command `grid` in a peer's container, by default in any."""
        return docker("exec", on or self.containers()[0], "grid", *arguments)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """`grid peers`, `grid actors` or `grid mailboxes`."""
        rows: list[dict[str, Any]] = json.loads(self.grid(kind, "--output", "json"))
        return rows

    def names(self, kind: str) -> set[str]:
        """The names of all there are of a kind."""
        return {row["name"] for row in self.rows(kind)}

    def wait_serving(self, peers: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait until exactly so many peers are registered and serve."""

        def serving() -> list[dict[str, Any]]:
            try:
                rows = self.rows("peers")
            except (AssertionError, IndexError):
                return []  # etcd or the container is not there yet
            return rows if len(rows) == peers and all(row["serving"] for row in rows) else []

        rows: list[dict[str, Any]] = eventually(serving, f"{peers} peers serve", timeout=timeout)
        return rows

    def wait_healthy(self, timeout: float = 60) -> None:
        """Wait until each running container that has a health check is healthy."""

        def healthy() -> bool:
            ids = docker(
                "ps", "--quiet", f"--filter=label=com.docker.compose.project={self.project}"
            )
            form = "{{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
            return all(docker("inspect", "--format", form, one) == "healthy" for one in ids.split())

        eventually(healthy, "all containers are healthy", timeout=timeout)


def address(container: str) -> str:
    """A container's address in the network of its project."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "--format", form, container)


def exit_code(container: str) -> int:
    """The exit code of a container's process."""
    return int(docker("inspect", "--format", "{{.State.ExitCode}}", container))
