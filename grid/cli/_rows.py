"""Entities as rows: their columns in tables, their fields in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid.cli._output import Column
from grid.registry.names import Kind

if TYPE_CHECKING:
    from grid.registry.entities import Entity

__all__ = ["COLUMNS", "row_of"]

_PEER = (
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("SERVING", "serving"),
    Column("EPOCH", "epoch"),
    Column("ANNOTATIONS", "annotations"),
    Column("LEASE", "lease", wide=True),
)
_OTHER = (
    Column("NAME", "name"),
    Column("PEER", "peer"),
    Column("ADDRESS", "address"),
    Column("EPOCH", "epoch"),
    Column("LEASE", "lease", wide=True),
)
COLUMNS = {Kind.PEER: _PEER, Kind.ACTOR: _OTHER, Kind.MAILBOX: _OTHER}


def row_of(one: Entity, serving: dict[str, bool] | None = None) -> dict[str, Any]:
    """An entity as the fields that are printed."""
    row: dict[str, Any] = {
        "name": one.name,
        "peer": one.peer,
        "address": one.address,
        "epoch": one.epoch,
        # As etcdctl writes it; as a number it would not survive JavaScript or jq.
        "lease": f"{one.lease:x}",
    }
    if one.kind is Kind.PEER:
        row["annotations"] = list(one.annotations)
        if serving is not None:
            row["serving"] = serving.get(one.name, False)
    return row
