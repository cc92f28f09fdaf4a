"""Entities as rows: columns of tables and fields of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid.cli._output import Column
from grid.registry.names import Kind

if TYPE_CHECKING:
    from grid.registry.entities import Entity

__all__ = ["ACTOR_REPORT", "COLUMNS", "row_of"]

_PEER = (
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("SERVING", "serving"),
    Column("EPOCH", "epoch"),
    Column("ANNOTATIONS", "annotations"),
    Column("LEASE", "lease", wide=True),
)
_ACTOR = (
    Column("NAME", "name"),
    Column("TYPE", "type"),
    Column("PEER", "peer"),
    Column("ADDRESS", "address"),
    Column("EPOCH", "epoch"),
    Column("LEASE", "lease", wide=True),
)
# The actors as they are listed: with what their peers report.
ACTOR_REPORT = (
    *_ACTOR[:2],
    Column("STATE", "state"),
    Column("RESTARTS", "restarts"),
    *_ACTOR[2:],
    Column("LAST ERROR", "error_line"),
    Column("ERROR AT", "error_at", wide=True),
)
_MAILBOX = (
    Column("NAME", "name"),
    Column("PEER", "peer"),
    Column("ADDRESS", "address"),
    Column("EPOCH", "epoch"),
    Column("LEASE", "lease", wide=True),
)
COLUMNS = {Kind.PEER: _PEER, Kind.ACTOR: _ACTOR, Kind.MAILBOX: _MAILBOX}


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
    if one.kind is Kind.ACTOR:
        row["type"] = one.type
    if one.kind is Kind.PEER:
        row["annotations"] = list(one.annotations)
        if serving is not None:
            row["serving"] = serving.get(one.name, False)
    return row
