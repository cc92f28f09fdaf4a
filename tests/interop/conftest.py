"""The Go program, and a grid for it and for Python."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from grid import Client, Codec, EchoMsg, Kind, Server
from grid.embedded import Etcd
from tests.interop.go_kit import Program, build, running, why_not

CODEC = Codec()
CODEC.register(EchoMsg, name="github.com/lytics/grid/v3/EchoMsg")
CODEC.register(StringValue, name="google.golang.org/protobuf/types/known/wrapperspb/StringValue")


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built Go program; skips where it cannot be had."""
    reason = why_not()
    if reason:
        pytest.skip(f"Go interop not tested: {reason}")
    return build(tmp_path_factory.mktemp("go"))


@dataclass(frozen=True, slots=True)
class Grid:
    """A namespace in an etcd of its own, and how to enter it from both languages."""

    go: Path
    etcd: str
    namespace: str = "mixed"

    def go_client(self) -> AbstractAsyncContextManager[Program]:
        """A Go client, which says `ready`."""
        return running(self.go, "client", "-etcd", self.etcd, "-namespace", self.namespace)

    def go_peer(self, *flags: str) -> AbstractAsyncContextManager[Program]:
        """A Go peer, which says `started` with its name and address."""
        where = ("-etcd", self.etcd, "-namespace", self.namespace)
        return running(self.go, "peer", *where, *flags)

    def client(self, **options: Any) -> Client:
        """A Python client, which sends under Go names."""
        return Client(self.namespace, etcd=self.etcd, codec=CODEC, **options)

    def server(self, **options: Any) -> Server:
        """A Python peer, which knows the Go names."""
        return Server(self.namespace, etcd=self.etcd, codec=CODEC, **options)


@pytest.fixture
async def mixed(go_program: Path) -> AsyncIterator[Grid]:
    """A grid for Go and Python."""
    async with Etcd() as etcd:
        yield Grid(go_program, etcd.endpoint)


@pytest.fixture
async def client(mixed: Grid) -> AsyncIterator[Client]:
    """A Python client."""
    async with mixed.client() as one:
        yield one


async def has(client: Client, kind: Kind, name: str) -> bool:
    return name in [one.name for one in await client.query(kind)]
