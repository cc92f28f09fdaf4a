"""An etcd with TLS, client certificates, users and roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme

from grid.embedded import Etcd
from grid.etcd import EtcdClient, EtcdConfig, api_pb2
from tests.grid.etcd.etcd_kit import connect

__all__ = ["WORD", "Authority", "admin", "enable_auth", "forget_logins", "guarded", "login"]

WORD = "pw"


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

    def mutual(self) -> tuple[str, ...]:
        """Arguments of an etcd that asks its clients for certificates of this authority."""
        cert, key = self.issue("localhost")
        return (
            f"--cert-file={cert}",
            f"--key-file={key}",
            f"--trusted-ca-file={self.ca}",
            "--client-cert-auth",
        )


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
