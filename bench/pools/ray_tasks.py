"""Ray: a task for each job, and one `ray.get` for all results."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import tempfile
from typing import Any

from bench.pools import run_on_order, small
from bench.talk import Orders

__all__ = ["run"]

_STORE = 100 * 1024 * 1024


async def run(given: dict[str, Any], orders: Orders) -> None:
    """A role: the caller, with Ray's own processes and its workers below it."""
    # Else Ray leaves a token in the home folder, or goes without.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    ray: Any = importlib.import_module("ray")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=given["workers"],
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_STORE,
            _temp_dir=folder,
        )
        try:
            task = ray.remote(small)
            await run_on_order(
                lambda jobs: ray.get([task.remote(number) for number in range(jobs)]), orders
            )
        finally:
            ray.shutdown()
