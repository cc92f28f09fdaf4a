"""The actor of dramatiq, with its broker; the worker processes import this module."""

from __future__ import annotations

import importlib
import os
from typing import Any

from bench.pools import small

__all__ = ["actor", "backend", "group"]

_URL = os.environ["BENCH_REDIS"]

_dramatiq: Any = importlib.import_module("dramatiq")
_broker: Any = importlib.import_module("dramatiq.brokers.redis").RedisBroker(url=_URL)
backend: Any = importlib.import_module("dramatiq.results.backends").RedisBackend(url=_URL)
_broker.add_middleware(importlib.import_module("dramatiq.results").Results(backend=backend))
_dramatiq.set_broker(_broker)

actor: Any = _dramatiq.actor(small, store_results=True)
group: Any = _dramatiq.group
