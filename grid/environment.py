"""Defaults from environment variables: GRID_ETCD..., GRID_NAMESPACE, GRID_TLS_..."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from grid.errors import GridError, InvalidArgument
from grid.etcd import EtcdConfig
from grid.tls import TLS

__all__ = ["command_etcd", "command_tls", "default_etcd", "default_namespace", "default_tls"]

_ETCD = "127.0.0.1:2379"
_ETCD_PATIENCE = 3.0  # seconds
_TLS_FILES = ("ca", "cert", "key")
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off", ""})


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
    return EtcdConfig.parse(_endpoints(etcd), **_etcd_variables())


def command_etcd(etcd: str | None, *, timeout: float, **options: Any) -> EtcdConfig:
    """The configuration for a command, of its options and, where they are None, the variables.

    Args:
        etcd: endpoints.
        timeout: seconds for the whole command; etcd gets 3 of them at most, because one that
            is there answers in a few milliseconds.
        options: other fields of `EtcdConfig`.

    Raises:
        InvalidAddress: an endpoint is not `host:port`.
        InvalidArgument: the options do not fit together.
    """
    given = {name: value for name, value in options.items() if value is not None}
    whole = {**_etcd_variables(), **given}
    try:
        return EtcdConfig.parse(_endpoints(etcd), timeout=min(timeout, _ETCD_PATIENCE), **whole)
    except ValueError as error:
        if isinstance(error, GridError):
            raise
        reason = str(error).removeprefix("etcd: ")
        named = ", ".join(name for name, value in whole.items() if value is not None)
        expected = f"consistent ({reason})"
        raise InvalidArgument("the options of etcd", f"just {named}", expected) from None


def default_tls(tls: TLS | None) -> TLS | None:
    """The TLS given, else the one of the `GRID_TLS_...` variables; None if none of them is set."""
    if tls is None:
        return command_tls()
    if not isinstance(tls, TLS):
        raise InvalidArgument("tls", tls, "a grid.TLS or None")
    return tls


def command_tls(**options: Any) -> TLS | None:
    """The TLS for a command, of its options and, where they are None, the variables.

    Args:
        options: fields of `TLS`.

    Returns:
        None if no file is named.

    Raises:
        InvalidArgument: the options do not fit together.
    """
    whole: dict[str, Any] = {
        **{name: _path(f"GRID_TLS_{name.upper()}") for name in _TLS_FILES},
        "server_name": _variable("GRID_TLS_SERVER_NAME"),
        "token": _variable("GRID_TOKEN"),
        "require_client_certificate": False if _is_set("GRID_TLS_NO_CLIENT_CERTIFICATE") else None,
        "allow_cleartext": _is_set("GRID_TLS_ALLOW_CLEARTEXT"),
    }
    whole |= {name: value for name, value in options.items() if value is not None}
    if any(whole[name] for name in _TLS_FILES):
        return TLS(**whole)
    if whole["token"] is not None:
        expected = "given with GRID_TLS_CA, since a token goes over TLS only"
        raise InvalidArgument("GRID_TOKEN", "set alone", expected)
    return None


def _endpoints(etcd: str | None) -> str:
    return etcd if etcd is not None else _variable("GRID_ETCD") or _ETCD


def _etcd_variables() -> dict[str, Any]:
    return {
        "ca": _path("GRID_ETCD_CA"),
        "cert": _path("GRID_ETCD_CERT"),
        "key": _path("GRID_ETCD_KEY"),
        "user": _variable("GRID_ETCD_USER"),
        "password": _variable("GRID_ETCD_PASSWORD"),
    }


def _variable(name: str) -> str | None:
    # Empty is not set: compose files pass on variables that the shell does not have.
    return os.environ.get(name) or None


def _is_set(name: str) -> bool:
    text = (_variable(name) or "").lower()
    if text not in _YES | _NO:
        expected = "one of 1, true, yes, on or 0, false, no, off"
        raise InvalidArgument(name, text, expected)
    return text in _YES


def _path(variable: str) -> Path | None:
    text = _variable(variable)
    return Path(text) if text else None
