"""TLS, client certificates, users and roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from grid.embedded import Etcd
from grid.errors import EtcdAuthFailed, EtcdPermissionDenied, EtcdUnavailable
from grid.etcd import EtcdClient, EtcdConfig, api_pb2
from grid.etcd._failures import CallFailed
from tests.grid.etcd.etcd_kit import connect, etcd_and_client, follow

# -- TLS ----------------------------------------------------------------------


class Authority:
    """Certificate files, made anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        issued = self._ca.issue_cert(name, "127.0.0.1", common_name=name)
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        issued.private_key_pem.write_to_path(key)
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return cert, key


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
    cert, key = authority.issue("localhost")
    mine, my_key = authority.issue("me")
    args = (
        f"--cert-file={cert}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority.ca}",
        "--client-cert-auth",
    )
    async with Etcd(args=args) as etcd:
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


WORD = "pw"


def login(user: str, word: str = WORD) -> dict[str, Any]:
    return {"user": user, "password": word}


async def admin(client: Any, method: str, **fields: Any) -> None:
    request = getattr(api_pb2, f"Auth{method.removeprefix('Auth')}Request")(**fields)
    await client._calls.call(f"Auth/{method}", request)


async def enable_auth(client: Any) -> None:
    """Users `root` and `app` (may touch `app/`), both with the password "pw"."""
    for user in ("root", "app"):
        await admin(client, "UserAdd", name=user, password=WORD)
        await admin(client, "RoleAdd", name=user)
        await admin(client, "UserGrantRole", user=user, role=user)
    allowed = api_pb2.Permission(
        permType=api_pb2.Permission.READWRITE, key=b"app/", range_end=b"app0"
    )
    await admin(client, "RoleGrantPermission", name="app", perm=allowed)
    await admin(client, "AuthEnable")


@asynccontextmanager
async def guarded() -> AsyncIterator[Etcd]:
    async with Etcd(args=("--auth-token-ttl=1",)) as etcd:
        async with connect(etcd.endpoint) as client:
            await enable_auth(client)
        yield etcd


async def forget_logins(etcd: Etcd, user: str) -> None:
    """Make etcd forget the tokens of a user, at once.

    A token that is in use does not expire on etcd 3.6 and later, where the pings of a lease
    count as a use; setting the password again ends it on every version.
    """
    async with EtcdClient(EtcdConfig((etcd.endpoint,), **login("root"))) as root:
        await admin(root, "UserChangePassword", name=user, password=WORD)


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
