"""A whole grid on an etcd with TLS, client certificates, users and roles."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import EtcdAuthFailed, EtcdPermissionDenied, EtcdUnavailable
from grid.etcd import EtcdConfig, api_pb2
from tests.grid.cli.cli_kit import Running
from tests.grid.cli.cli_kit import grid as run
from tests.grid.etcd.auth_kit import WORD, Authority, admin, forget_logins, login
from tests.grid.etcd.etcd_kit import connect

APP = "tests.grid.cli.cli_app:server"


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """The range of the keys that begin with an ASCII prefix, its end left out."""
    start = prefix.encode()
    return start, start[:-1] + bytes([start[-1] + 1])


_LOCKS, _END = prefix_range("registry.uniq-lock.")


async def echo(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


async def lead(ctx: grid.ActorContext) -> None:
    await ctx.stopping.wait()


async def use(config: EtcdConfig, namespace: str) -> grid.Server:
    """A server that has done all that servers do."""
    server = grid.Server(namespace, etcd=config, lease=3.0, drain_timeout=1.0)
    server.define("echo", lambda _: echo, mailbox=4)
    server.define("leader", lambda _: lead)
    async with server, grid.Client(namespace, etcd=config) as client, client.watch("actor") as seen:
        await client.start_actor("echo")
        found = {(await anext(seen)).entity.name for _ in range(2)}
        assert found == {"echo", "leader"}
        reply = await client.request("echo", grid.EchoMsg(msg="hello"), reply=grid.EchoMsg)
        assert reply.msg == "hello"
        await client.stop_actor("echo")
        assert isinstance(await anext(seen), grid.EntityLost)
    return server


# -- TLS ---------------------------------------------------------------------------


async def test_a_grid_on_tls_with_client_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, my_key = authority.issue("me")
    async with Etcd(args=authority.mutual()) as etcd:
        config = EtcdConfig((etcd.endpoint,), ca=authority.ca, cert=mine, key=my_key)
        await use(config, "tls")

        env = {
            "GRID_ETCD": f"https://{etcd.endpoint}",
            "GRID_NAMESPACE": "tls",
            "GRID_ETCD_CA": str(authority.ca),
            "GRID_ETCD_CERT": str(mine),
            "GRID_ETCD_KEY": str(my_key),
        }
        with Running("serve", APP, "--name", "one", env=env) as peer:
            await peer.says("serves tls")
            options = [
                *("--etcd", etcd.endpoint, "-n", "tls", "--etcd-ca", str(authority.ca)),
                *("--etcd-cert", str(mine), "--etcd-key", str(my_key)),
            ]
            found = json.loads(run("peers", "-o", "json", *options).stdout)
            assert [(one["name"], one["serving"]) for one in found] == [("one", True)]
            assert run("doctor", *options).returncode == 0
            stranger = run("peers", *options[:6], "--timeout", "1")
            assert stranger.returncode == 1
            assert stranger.stderr.startswith("error: etcd: no answer from")

        async with grid.Client("tls", etcd=EtcdConfig((etcd.endpoint,), timeout=0.5)) as client:
            with pytest.raises(EtcdUnavailable):
                await client.query("peer")


# -- users -------------------------------------------------------------------------


async def allow(client: Any, prefix: str) -> None:
    """Let the user `shop` read and write what begins with a prefix."""
    start, end = prefix_range(prefix)
    kind = api_pb2.Permission.READWRITE
    perm = api_pb2.Permission(permType=kind, key=start, range_end=end)
    await admin(client, "RoleGrantPermission", name="shop", perm=perm)


@asynccontextmanager
async def guarded() -> AsyncIterator[Etcd]:
    """An etcd where `shop` may use the namespace `shop`, with tokens that end soon."""
    async with Etcd(args=("--auth-token-ttl=1",)) as etcd:
        async with connect(etcd.endpoint) as client:
            for user in ("root", "shop"):
                await admin(client, "UserAdd", name=user, password=WORD)
                await admin(client, "RoleAdd", name=user)
                await admin(client, "UserGrantRole", user=user, role=user)
            await allow(client, "shop.")
            await allow(client, _LOCKS.decode())
            await admin(client, "AuthEnable")
        yield etcd


async def test_a_grid_for_a_user_of_its_own() -> None:
    async with guarded() as etcd:
        config = EtcdConfig((etcd.endpoint,), **login("shop"))
        await use(config, "shop")

        env = {"GRID_ETCD": etcd.endpoint, "GRID_NAMESPACE": "shop"}
        mine = {**env, "GRID_ETCD_USER": "shop", "GRID_ETCD_PASSWORD": WORD}
        with Running("serve", APP, "--name", "one", env=mine) as peer:
            await peer.says("serves shop")
            done = run("peers", "-o", "json", "--etcd-user=shop", "--etcd-password", WORD, env=env)
            assert [one["name"] for one in json.loads(done.stdout)] == ["one"]
            assert run("doctor", env=mine).returncode == 0
            for options, text in (
                ((), "error: etcd: user name is empty"),
                (("--etcd-user=shop", "--etcd-password=no"), "error: etcd: authentication failed"),
            ):
                refused = run("peers", *options, env=env)
                assert refused.returncode == 1
                assert refused.stderr.startswith(text)
                assert "hint: give --etcd-user and --etcd-password" in refused.stderr
            other = run("peers", "-n", "other", env=mine)
            assert other.returncode == 1
            assert other.stderr == "error: etcd: permission denied\n"
            assert WORD not in "".join(peer.err).split()


@pytest.mark.parametrize("options", [login("shop", "wrong"), {}], ids=["wrong", "none"])
async def test_a_server_that_may_not_in_says_so_at_once(options: dict[str, Any]) -> None:
    async with guarded() as etcd:
        server = grid.Server("shop", etcd=EtcdConfig((etcd.endpoint,), **options))
        with pytest.raises(EtcdAuthFailed):
            await server.start()


async def test_a_server_that_may_not_use_its_address_says_so_at_once() -> None:
    async with guarded() as etcd:
        async with connect(etcd.endpoint, **login("root")) as client:
            await admin(client, "RoleRevokePermission", role="shop", key=_LOCKS, range_end=_END)
        config = EtcdConfig((etcd.endpoint,), **login("shop"))
        with pytest.raises(EtcdPermissionDenied):
            await grid.Server("shop", etcd=config).start()


async def test_logins_that_expire_are_renewed_and_cost_no_name() -> None:
    async with guarded() as etcd:
        config = EtcdConfig((etcd.endpoint,), **login("shop"))
        server = grid.Server("shop", etcd=config, lease=3.0, drain_timeout=1.0)
        server.define("echo", lambda _: echo, mailbox=4)
        async with server, grid.Client("shop", etcd=config) as client:
            await client.start_actor("echo")
            epochs = {one.name: one.epoch for one in await client.query("mailbox")}
            async with client.watch("mailbox") as events:
                for _ in epochs:
                    await anext(events)
                await forget_logins(etcd, "shop")
                async with server.open_mailbox("orders"):
                    assert (await anext(events)).entity.name == "orders"
            await client.start_actor("echo", name="second")
            assert await client.request("second", grid.EchoMsg(), reply=grid.EchoMsg)
            now = {one.name: one.epoch for one in await client.query("mailbox")}
            assert now.items() >= epochs.items()
