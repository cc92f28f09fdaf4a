"""Rows of actors with what their peers report of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from grid.cli._rows import row_of

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.client.reports import ActorReport
    from grid.registry.entities import Entity

__all__ = ["actor_rows"]

_TIMEOUT = 1.0  # seconds for a peer's reports


async def actor_rows(
    client: Client, actors: Sequence[Entity], *, failed: bool
) -> list[dict[str, Any]]:
    """The actors as rows with state, restarts and last error.

    Args:
        client: asks the peers.
        actors: those that are registered.
        failed: add rows of those that ended by an error, whose names are free.
    """
    from grid.client.reports import ActorState
    from grid.registry.names import Kind

    peers = {one.peer for one in actors}
    if failed:
        peers.update(one.name for one in await client.query(Kind.PEER))
    reports = await _reports(client, sorted(peers))
    rows = [_with_report(row_of(one), reports.get(one.peer), one) for one in actors]
    if failed:
        there = {one.name for one in actors}
        rows += [
            _row_of_failed(one)
            for peer in reports.values()
            for one in (peer or {}).values()
            if one.state is ActorState.FAILED and one.name not in there
        ]
    return rows


async def _reports(
    client: Client, peers: Iterable[str]
) -> dict[str, dict[str, ActorReport] | None]:
    names = list(peers)
    answers = await asyncio.gather(*(_ask(client, one) for one in names))
    return dict(zip(names, answers, strict=True))


async def _ask(client: Client, peer: str) -> dict[str, ActorReport] | None:
    from grid.errors import GridError

    try:
        return {one.name: one for one in await client.actor_reports(peer, timeout=_TIMEOUT)}
    except GridError:
        return None  # it does not answer, or it is a Go peer


def _with_report(
    row: dict[str, Any], reports: dict[str, ActorReport] | None, actor: Entity
) -> dict[str, Any]:
    if reports is None:
        return {**row, "state": None, "restarts": None, "error": None, "error_at": None}
    report = reports.get(actor.name)
    if report is None or report.state == "failed":  # of an incarnation before this one
        return {**row, "state": "running", "restarts": 0, "error": "", "error_at": None}
    return {**row, **_fields(report)}


def _row_of_failed(report: ActorReport) -> dict[str, Any]:
    nothing = {"address": None, "epoch": None, "lease": None}
    return {
        "name": report.name,
        "peer": report.peer,
        **nothing,
        "type": report.type,
        **_fields(report),
    }


def _fields(report: ActorReport) -> dict[str, Any]:
    at = datetime.fromtimestamp(report.error_at, UTC) if report.error_at else None
    return {
        "state": str(report.state),
        "restarts": report.restarts,
        "error": report.error,
        "error_at": at and at.isoformat(timespec="milliseconds"),
    }
