"""An application of one's own, by the recipe of docs/deploy.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import grid
from grid.embedded.ports import free_ports
from grid.testing import wait_until
from tests.compose.stack import ROOT, Stack, compose_command, docker, run

pytestmark = pytest.mark.timeout(900)

_APP = """
import grid
from google.protobuf.wrappers_pb2 import StringValue  # as a message of one's own would be

import shop_dependency

server = grid.Server()


@server.actor("till", mailbox=64)
async def till(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(StringValue(value=f"{shop_dependency.VERSION} {ctx.peer}"))


@server.actor("leader")
async def leader(ctx: grid.ActorContext) -> None:
    async with ctx.client.watch("actor") as events:
        await start(ctx.client)
        async for event in events:
            if isinstance(event, grid.EntityLost) and event.entity.name == "till":
                await start(ctx.client)


async def start(client: grid.Client) -> None:
    try:
        await client.start_actor("till", name="till")
    except grid.errors.AlreadyRegistered:
        pass
"""


def blocks(kind: str) -> list[str]:
    """The blocks of a kind in the manual."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


class Shop:
    """The files of the recipe in a folder of their own, and its commands."""

    def __init__(self, folder: Path, base: str) -> None:
        self.stack = Stack("shop", GRID_IMAGE=base, GRID_LEASE="8")
        self.folder = folder
        self.port = free_ports(1)[0]
        (folder / "docker-compose.yml").write_text((ROOT / "docker-compose.yml").read_text())
        shop = folder / "shop"
        shop.mkdir()
        (dockerfile,) = blocks("dockerfile shop")
        (compose,) = blocks("yaml shop")
        (shop / "Dockerfile").write_text(dockerfile.replace("actor-grid:latest", base))
        (shop / "compose.yml").write_text(compose.replace("shop:$", f"{self.image}:$"))
        (shop / "app.py").write_text(_APP)
        # A dependency that no index has to be asked for.
        (shop / "requirements.txt").write_text("")
        with (shop / "Dockerfile").open("a") as file:
            file.write("COPY shop_dependency.py /app/shop_dependency.py\n")
        self.version(1)

    @property
    def image(self) -> str:
        """The name of the application's image."""
        return f"shop-test-{os.getpid()}"

    def version(self, number: int) -> None:
        """Make the next build one of that version."""
        (self.folder / "shop" / "shop_dependency.py").write_text(f"VERSION = {number}\n")

    def script(self, text: str) -> None:
        """Run commands of the manual in the folder."""
        command = " ".join(compose_command() or ())
        env = {**self.stack.env, "SHOP_ETCD_PORT": str(self.port)}
        script = f"cd {self.folder}\n{text.replace('docker compose', command)}"
        run("bash", "-euo", "pipefail", "-c", script, timeout=600, env=env)


@pytest.fixture
def shop(tmp_path: Path, image: str) -> Iterator[Shop]:
    """The application, served by three peers."""
    made = Shop(tmp_path, image)
    (start,) = blocks("sh shop")
    try:
        made.script(start.partition("\n")[2])  # without the first line: the base is built
        yield made
    finally:
        made.stack.down()
        for one in (f"{made.image}:1", f"{made.image}:2"):
            run("docker", "image", "rm", "--force", one, check=False)


async def test_an_application_is_deployed_and_updated_without_a_lost_request(shop: Shop) -> None:
    from google.protobuf.wrappers_pb2 import StringValue

    client = grid.Client("shop", etcd=f"127.0.0.1:{shop.port}", timeout=30)
    answers: list[str] = []

    async def ask() -> None:
        while True:
            # Between its two owners the name has none; nothing was sent then.
            with contextlib.suppress(grid.errors.UnregisteredMailbox):
                reply = await client.request("till", grid.EchoMsg(), reply=StringValue)
                answers.append(reply.value)
            await asyncio.sleep(0.05)

    async def served() -> bool:
        return len([one for one in await client.query("actor") if one.name == "till"]) == 1

    async with client:
        await wait_until(served, "the till", timeout=60)
        asking = asyncio.create_task(ask())
        await wait_until(lambda: answers, "an answer", timeout=30)
        assert answers[0].startswith("1 ")
        shop.version(2)
        (update,) = blocks("sh update")
        await asyncio.to_thread(shop.script, update.replace("shop:2", f"{shop.image}:2"))
        await wait_until(lambda: answers[-1].startswith("2 ") or asking.done(), "version 2")
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled(), asking.exception()
        assert len(answers) > 20
        assert len(await client.query("peer")) == 3
    images = {
        docker("inspect", "--format", "{{.Config.Image}}", one) for one in shop.stack.containers()
    }
    assert images == {f"{shop.image}:2"}


def test_the_recipe_is_in_the_manual() -> None:
    for kind in ("dockerfile shop", "yaml shop", "sh shop", "sh update"):
        assert len(blocks(kind)) == 1, kind
    assert "CMD" not in blocks("dockerfile shop")[0]  # compose's command would beat it
