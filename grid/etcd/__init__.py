"""A session with etcd: calls, a lease that is kept alive, a watch that loses nothing.

    async with EtcdClient(EtcdConfig.parse("127.0.0.1:2379")) as etcd:
        lease = await etcd.open_lease(10)
        await etcd.put("name", b"value", lease=lease.id)
        async with etcd.watch("na") as watch:
            async for batch in watch:
                ...

Parts, from the inside out: `_rotation`, `_failures`, `_view`, `_memory_keys` and `_model` are
plain objects without I/O; `_channel` is the gRPC channel to one endpoint, and `memory` takes its
place in unit tests; `_calls` adds failover and login; `_client`, `_lease` and `_watch` are the
public faces. The messages of etcd's API are in `api_pb2`, generated from
`protos/grid/etcd/api.proto`.

Names are loaded on first use, so that importing this package does not import gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid.etcd._client import EndpointStatus, EtcdClient, Member
    from grid.etcd._config import EtcdConfig
    from grid.etcd._lease import Lease
    from grid.etcd._model import Change, KeyValue, Snapshot, WatchBatch
    from grid.etcd._watch import Watch
    from grid.etcd.memory import MemoryRegistry

__all__ = [
    "Change",
    "EndpointStatus",
    "EtcdClient",
    "EtcdConfig",
    "KeyValue",
    "Lease",
    "Member",
    "MemoryRegistry",
    "Snapshot",
    "Watch",
    "WatchBatch",
]

_HOMES = {
    "Change": "_model",
    "EndpointStatus": "_client",
    "EtcdClient": "_client",
    "EtcdConfig": "_config",
    "KeyValue": "_model",
    "Lease": "_lease",
    "Member": "_client",
    "MemoryRegistry": "memory",
    "Snapshot": "_model",
    "Watch": "_watch",
    "WatchBatch": "_model",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
