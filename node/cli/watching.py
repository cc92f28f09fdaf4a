"""`--watch` of pools and workers: the present ones, and then every change."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import typer

from grid.stdout_reader import UntilReaderGoes
from node.cli.finding import NO_POOLS
from node.cli.rows import cell
from rpc.cli.options import USAGE, Format
from rpc.cli.rows import Row, table

__all__ = ["follow"]

_PAUSE = 1.0  # seconds between two looks
_ABSENCE = 15.0  # seconds without a supervisor after which there is nothing any more

# What changes all the time is no event.
_FLEETING = ("age", "memory")


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of a list: `found`, `changed` or `lost`, with the row of that moment."""

    event: str
    row: Row


async def follow(
    look: Callable[[], Awaitable[list[Row] | None]],
    columns: Sequence[str],
    output: Format,
) -> int:
    """Print the present rows and then every change. The exit code, if it cannot begin.

    Args:
        look: the rows of this moment; None while there is no supervisor.
        columns: the keys that a table shows; the first one is unique.
        output: the format.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output is Format.JSON:
        text = "-o json is one array, which has no end under --watch: use -o jsonl"
        typer.echo(f"error: {text}", err=True)
        return USAGE
    with UntilReaderGoes():
        if output is Format.TABLE and sys.stdout.isatty():
            await _live(look, columns)
        else:
            await _lines(look, columns, output)
    return 0


async def _lines(
    look: Callable[[], Awaitable[list[Row] | None]], columns: Sequence[str], output: Format
) -> None:
    async for changes in _changes(look, columns[0]):
        for change in changes:
            if output is Format.JSONL:
                typer.echo(json.dumps({"event": change.event, **change.row}))
            else:
                cells = [cell(name, change.row[name]) for name in columns]
                typer.echo("  ".join([f"{change.event:<7}", *filter(None, cells)]))


async def _looks(look: Callable[[], Awaitable[list[Row] | None]]) -> AsyncIterator[list[Row]]:
    """Rows again and again. While the next supervisor is awaited there is nothing new."""
    loop = asyncio.get_running_loop()
    seen = float("-inf")
    while True:
        rows = await look()
        if rows is not None:
            seen = loop.time()
        if rows is not None or loop.time() - seen > _ABSENCE:
            yield rows or []
        await asyncio.sleep(_PAUSE)


async def _changes(
    look: Callable[[], Awaitable[list[Row] | None]], key: str
) -> AsyncIterator[list[_Change]]:
    before: dict[str, Row] | None = None
    async for rows in _looks(look):
        now = {row[key]: row for row in rows}
        if before is None and not now:
            typer.echo(NO_POOLS, err=True)
        yield _differences(before or {}, now)
        before = now


def _differences(before: dict[str, Row], now: dict[str, Row]) -> list[_Change]:
    lost = [_Change("lost", before[name]) for name in before if name not in now]
    found = [_Change("found", now[name]) for name in now if name not in before]
    changed = [
        _Change("changed", row)
        for name, row in now.items()
        if name in before and _steady(row) != _steady(before[name])
    ]
    return [*lost, *found, *changed]


def _steady(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in _FLEETING}


async def _live(look: Callable[[], Awaitable[list[Row] | None]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False) as live:
        async for rows in _looks(look):
            lines = table(columns, rows, cell) if rows else [NO_POOLS]
            text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            live.update(text, refresh=True)
