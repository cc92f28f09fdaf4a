"""TLS, client certificates, users and roles."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from grid.embedded import Etcd
from grid.errors import EtcdAuthFailed, EtcdPermissionDenied, EtcdUnavailable
from grid.etcd import api_pb2
from grid.etcd._failures import CallFailed
from tests.grid.etcd.auth_kit import Authority, enable_auth, forget_logins, guarded, login
from tests.grid.etcd.etcd_kit import connect, etcd_and_client, follow

# -- TLS ----------------------------------------------------------------------


async def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    async with Etcd(args=(f"--cert-file={cert}", f"--key-file={key}")) as etcd:
        async with connect(f"https://{etcd.endpoint}", ca=authority.ca) as client:
            await client.put("a", b"1")
            lease = await client.open_lease(5)
            assert lease.valid
        async with connect(etcd.endpoint) as client:
            with pytest.raises(EtcdUnavailable):
                await client.get("a", timeout=0.5)
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        async with connect(etcd.endpoint, ca=Authority(stranger).ca) as client:
            with pytest.raises(EtcdUnavailable):
                await client.get("a", timeout=0.5)


async def test_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, my_key = authority.issue("me")
    async with Etcd(args=authority.mutual()) as etcd:
        async with connect(etcd.endpoint, ca=authority.ca, cert=mine, key=my_key) as client:
            await client.put("a", b"1")
        async with connect(etcd.endpoint, ca=authority.ca) as client:
            with pytest.raises(EtcdUnavailable):
                await client.get("a", timeout=0.5)


async def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    async with connect("127.0.0.1:1", ca=tmp_path / "none.pem") as client:
        with pytest.raises(FileNotFoundError):
            await client.get("a")


# -- users --------------------------------------------------------------------


async def check_refused(client: Any) -> None:
    """etcd does not know the client's login any more."""
    calls = client._calls
    metadata = (("token", calls._token),)
    with pytest.raises(CallFailed, match="invalid auth token"):
        await calls.channel().unary("Auth/UserList", api_pb2.AuthUserListRequest(), 5, metadata)


async def test_an_expired_login_is_renewed_for_calls_leases_and_watches() -> None:
    async with guarded() as etcd, connect(etcd.endpoint, **login("app")) as client:
        lease = await client.open_lease(2)
        async with client.watch("app/") as watch:
            await client.put("app/a", b"1", lease=lease.id)
            kept: dict[str, bytes] = {}
            await follow(watch, 1, kept)
            await follow(watch, await client.put("app/b", b"", lease=lease.id), kept)
            await forget_logins(etcd, "app")
            await asyncio.gather(*(client.get("app/a") for _ in range(20)))
            await forget_logins(etcd, "app")
            assert watch._stream is not None
            watch._stream.fail()
            revision = await client.put("app/a", b"2", lease=lease.id)
            await follow(watch, revision, kept)
        assert lease.valid
        await lease.revoke()
        assert await client.get("app/a") is None


async def test_a_watch_opened_with_an_expired_login_logs_in_again() -> None:
    async with (
        guarded() as etcd,
        connect(etcd.endpoint, **login("app")) as client,
        connect(etcd.endpoint, **login("root")) as other,
        client.watch("app/") as watch,
    ):
        assert (await anext(watch)).snapshot
        await forget_logins(etcd, "app")
        await check_refused(client)
        following = asyncio.create_task(anext(watch))
        await other.put("app/a", b"1")
        assert (await following).changes[0].key == "app/a"


async def test_wrong_or_missing_passwords_fail_at_once() -> None:
    async with guarded() as etcd:
        async with connect(etcd.endpoint, **login("app", "wrong")) as client:
            with pytest.raises(EtcdAuthFailed):
                await client.get("app/a")
            with pytest.raises(EtcdAuthFailed):
                await client.open_lease(5)
        async with connect(etcd.endpoint) as client:
            with pytest.raises(EtcdAuthFailed):
                await client.get("app/a")


async def test_what_is_not_permitted_is_named() -> None:
    async with guarded() as etcd, connect(etcd.endpoint, **login("app")) as client:
        with pytest.raises(EtcdPermissionDenied):
            await client.put("other", b"")
        async with client.watch("other") as watch:
            with pytest.raises(EtcdPermissionDenied):
                await anext(watch)


async def test_a_user_is_ignored_while_authentication_is_off() -> None:
    async with etcd_and_client(**login("app")) as (_, client):
        await client.put("a", b"1")
        await enable_auth(client)
        with pytest.raises(EtcdPermissionDenied):
            await client.put("a", b"2")
        await client.put("app/a", b"2")
