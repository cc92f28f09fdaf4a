"""Names and types that the shell offers while the user types.

Completion is asked for at each press of a key, so it reads etcd without a client
of the grid, and it is silent about whatever goes wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grid.cli._options import Connection

if TYPE_CHECKING:
    from grid.registry.registration import Registration

__all__ = ["actor_names", "actor_types", "mailbox_names", "message_types", "peer_names"]

_BUDGET = 0.3  # seconds: a shell that hangs is worse than one that does not know


def mailbox_names(given: Mapping[str, Any], incomplete: str) -> list[str]:
    """Mailboxes whose names begin with the typed text."""
    return _beginning(incomplete, _names(given, "mailbox"))


def actor_names(given: Mapping[str, Any], incomplete: str) -> list[str]:
    """Actors whose names begin with the typed text."""
    return _beginning(incomplete, _names(given, "actor"))


def peer_names(given: Mapping[str, Any], incomplete: str) -> list[str]:
    """Peers whose names begin with the typed text."""
    return _beginning(incomplete, _names(given, "peer"))


def actor_types(given: Mapping[str, Any], incomplete: str) -> list[str]:
    """Actor types of the peers that begin with the typed text."""
    return _beginning(incomplete, {kind for one in _read(given, "peer") for kind in one.types})


def message_types(given: Mapping[str, Any], incomplete: str) -> list[str]:
    """Message types of the given modules, and those of grid, that begin with the typed text."""
    import contextlib
    import os
    from pathlib import Path

    import grid.wire_pb2  # noqa: F401 - its messages are offered
    from grid.cli._load import import_types
    from grid.cli._messages import known_types

    # An app may print or fail while it is imported; the shell would show that.
    with (
        Path(os.devnull).open("w", encoding="utf-8") as null,
        contextlib.redirect_stderr(null),
        contextlib.suppress(Exception, SystemExit),
    ):
        import_types(given.get("proto_module"), given.get("app"))
    full = [one.full_name for one in known_types()]
    short = [name.rpartition(".")[2] for name in full]
    return _beginning(incomplete, {name for name in short if short.count(name) == 1} | {*full})


def _names(given: Mapping[str, Any], kind: str) -> list[str]:
    return [one.key.split(".", 2)[2] for one in _read(given, kind)]


def _beginning(incomplete: str, names: Any) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _read(given: Mapping[str, Any], kind: str) -> list[Registration]:
    import asyncio
    import logging

    from grid.errors import GridError

    logging.disable()
    known = {name: given[name] for name in Connection.__dataclass_fields__ if name in given}
    known["timeout"] = _BUDGET
    try:
        return asyncio.run(_query(Connection(**known), kind))
    except (GridError, OSError):
        return []


async def _query(connection: Connection, kind: str) -> list[Registration]:
    import asyncio

    from grid.etcd import EtcdClient
    from grid.registry.names import Kind, check_namespace, prefix
    from grid.registry.registration import MalformedRegistration, decode_registration

    namespace = check_namespace(connection.namespace or "default")
    found = []
    async with asyncio.timeout(_BUDGET), EtcdClient(connection.etcd_config()) as etcd:
        for one in (await etcd.get_prefix(prefix(namespace, Kind(kind)))).items:
            try:
                found.append(decode_registration(one))
            except MalformedRegistration:
                continue
    return found
