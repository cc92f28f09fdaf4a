"""The application of docker-compose.yml: the leader keeps a greeter."""

from __future__ import annotations

from collections.abc import Callable

import grid
from examples import deployed, hello
from grid.testing import wait_until

Servers = Callable[..., grid.Server]


async def test_the_leader_starts_the_greeter_and_starts_it_again(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    servers = [grid_servers(), grid_servers()]
    for server in servers:
        server.define("greeter", lambda _: hello.greeter, mailbox=8)
        server.define("leader", lambda _: deployed.leader)
        await server.start()

    async def epoch() -> int:
        found = [one for one in await grid_client.query("actor") if one.name == deployed.KEPT]
        return found[0].epoch if found else 0

    await wait_until(epoch, "the greeter")
    before = await epoch()
    await grid_client.stop_actor(deployed.KEPT)

    async def another() -> bool:
        return await epoch() > before

    await wait_until(another, "the next greeter", timeout=30)
    reply = await grid_client.request(deployed.KEPT, grid.EchoMsg(msg="hi"), reply=grid.EchoMsg)
    assert reply.msg.startswith("hi from front on ")
