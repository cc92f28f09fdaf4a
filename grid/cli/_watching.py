"""`--watch`: changes of a list, until Ctrl-C or until the reader of stdout has gone.

Changes of peers come from two sources, the registry and the peers' own health;
both go through one queue, so that `found` stays before `lost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grid.cli._exits import BadInput
from grid.cli._health import healths, serves
from grid.cli._output import Format, print_json, table_of, write
from grid.cli._rows import COLUMNS, row_of
from grid.registry.names import Kind
from grid.stdout_reader import UntilReaderGoes

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.registry.entities import Entity, EntityEvent

__all__ = ["follow"]

_HEALTH_INTERVAL = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of a list: `found`, `lost`, or `changed` for a peer's health."""

    event: str
    entity: Entity
    serving: bool | None = None

    def row(self) -> dict[str, Any]:
        serving = None if self.serving is None else {self.entity.name: self.serving}
        return row_of(self.entity, serving)


async def follow(client: Client, kind: Kind, output: Format, *, without: str | None = None) -> None:
    """Print the present entities and then every change.

    Args:
        client: of the grid.
        kind: of the entities.
        output: how they are printed.
        without: an annotation; peers that have it are left out.

    Raises:
        BadInput: a JSON array has no end when it is watched.
        EtcdUnavailable: etcd has been away for too long.
    """
    if output is Format.JSON:
        raise BadInput("-o json is one array, which has no end under --watch: use -o jsonl")
    with UntilReaderGoes():
        async with client.watch(kind) as events:
            shown = (one async for one in events if without not in one.entity.annotations)
            source = _with_health(client, shown) if kind is Kind.PEER else _plain(shown)
            async with contextlib.aclosing(source) as changes:
                if output is not Format.JSONL and sys.stdout.isatty():
                    await _live(changes, kind, wide=output is Format.WIDE)
                    return
                async for change in changes:
                    if output is Format.JSONL:
                        print_json(_event(change), on_one_line=True)
                    else:
                        _print_line(change)


# -- sources ------------------------------------------------------------------


async def _plain(events: AsyncIterator[EntityEvent]) -> AsyncGenerator[_Change, None]:
    async for event in events:
        yield _Change(_word(event), event.entity)


async def _with_health(
    client: Client, events: AsyncIterator[EntityEvent]
) -> AsyncGenerator[_Change, None]:
    peers = _Peers(client, events)
    tasks = [asyncio.create_task(peers.read()), asyncio.create_task(peers.probe())]
    try:
        while not isinstance(item := await peers.changes.get(), BaseException | None):
            yield item
        if item is not None:
            raise item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Peers:
    """Peers that are registered, and their health."""

    def __init__(self, client: Client, events: AsyncIterator[EntityEvent]) -> None:
        # An exception ends the stream of changes, None ends it without one.
        self.changes: asyncio.Queue[_Change | BaseException | None] = asyncio.Queue()
        self._client = client
        self._events = events
        self._known: dict[str, _Change] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}

    async def read(self) -> None:
        """Queue what the registry tells."""
        try:
            async for event in self._events:
                name = event.entity.name
                if name in self._probing:
                    await self._probing[name]
                if _word(event) == "found":
                    # A task each: a peer that does not answer must not hold up the others.
                    self._probing[name] = asyncio.create_task(self._found(event.entity))
                else:
                    known = self._known.pop(name, None)
                    serving = known.serving if known else False
                    self.changes.put_nowait(_Change("lost", event.entity, serving))
        except Exception as error:  # noqa: BLE001 - raised where the changes are read
            self.changes.put_nowait(error)
        else:
            self.changes.put_nowait(None)

    async def _found(self, entity: Entity) -> None:
        change = _Change("found", entity, await serves(self._client, entity.name))
        self._known[entity.name] = change
        self._probing.pop(entity.name, None)
        self.changes.put_nowait(change)

    async def probe(self) -> None:
        """Queue changes of health."""
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL)
            for name, serving in (await healths(self._client, list(self._known))).items():
                known = self._known.get(name)
                if known is not None and known.serving is not serving:
                    self._known[name] = _Change("changed", known.entity, serving)
                    self.changes.put_nowait(self._known[name])


# -- output -------------------------------------------------------------------


def _event(change: _Change) -> dict[str, Any]:
    one = change.entity
    fields = {"event": change.event, "kind": one.kind.value, **change.row()}
    return {**fields, "annotations": list(one.annotations)}


def _print_line(change: _Change) -> None:
    one = change.entity
    parts = [f"{change.event:<7}", one.name, one.peer, one.address, str(one.epoch)]
    if change.serving is not None:
        parts.append("serving" if change.serving else "not serving")
    elif one.type:
        parts.append(one.type)
    write("  ".join(parts) + "\n")


def _word(event: EntityEvent) -> str:
    from grid.registry.entities import EntityFound

    return "found" if isinstance(event, EntityFound) else "lost"


async def _live(changes: AsyncIterator[_Change], kind: Kind, *, wide: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    columns = COLUMNS[kind]
    rows: dict[str, dict[str, Any]] = {}
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(table_of((), columns), console=console, refresh_per_second=10) as live:
        async for change in changes:
            if change.event == "lost":
                rows.pop(change.entity.name, None)
            else:
                rows[change.entity.name] = change.row()
            live.update(table_of((rows[name] for name in sorted(rows)), columns, wide=wide))
