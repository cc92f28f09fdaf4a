"""Dask: `client.map` on worker processes of one thread each, and one `gather`."""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from typing import Any

from bench.pools import run_on_order, small
from bench.talk import Orders

__all__ = ["run"]


async def run(given: dict[str, Any], orders: Orders) -> None:
    """A role: the caller, its scheduler, and the workers."""
    importlib.import_module("dask").config.set({"logging.distributed": "error"})
    distributed: Any = importlib.import_module("distributed")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def start() -> Any:
            cluster = distributed.LocalCluster(
                n_workers=given["workers"],
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                local_directory=folder,
            )
            return cluster, distributed.Client(cluster)

        cluster, client = await asyncio.to_thread(start)
        try:
            await run_on_order(
                lambda jobs: client.gather(client.map(small, range(jobs), pure=False)), orders
            )
        finally:
            await asyncio.to_thread(client.close)
            await asyncio.to_thread(cluster.close)
