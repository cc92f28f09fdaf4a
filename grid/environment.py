"""Defaults from environment variables: GRID_ETCD..., GRID_NAMESPACE."""

from __future__ import annotations

import os
from pathlib import Path

from grid.errors import InvalidArgument
from grid.etcd import EtcdConfig

__all__ = ["default_etcd", "default_namespace"]


def default_namespace(namespace: str | None) -> str:
    """The namespace given, else `GRID_NAMESPACE`, else `default`."""
    if namespace is not None and not isinstance(namespace, str):
        raise InvalidArgument("namespace", namespace, "a string")
    return namespace if namespace is not None else _variable("GRID_NAMESPACE") or "default"


def default_etcd(etcd: str | EtcdConfig | None) -> EtcdConfig:
    """The configuration given, else the one of the `GRID_ETCD...` variables."""
    if isinstance(etcd, EtcdConfig):
        return etcd
    if etcd is not None and not isinstance(etcd, str):
        raise InvalidArgument("etcd", etcd, "endpoints as host:port,host:port or an EtcdConfig")
    text = etcd if etcd is not None else _variable("GRID_ETCD") or "127.0.0.1:2379"
    return EtcdConfig.parse(
        text,
        ca=_path("GRID_ETCD_CA"),
        cert=_path("GRID_ETCD_CERT"),
        key=_path("GRID_ETCD_KEY"),
        user=_variable("GRID_ETCD_USER"),
        password=_variable("GRID_ETCD_PASSWORD"),
    )


def _variable(name: str) -> str | None:
    # Empty is not set: compose files pass on variables that the shell does not have.
    return os.environ.get(name) or None


def _path(variable: str) -> Path | None:
    text = _variable(variable)
    return Path(text) if text else None
