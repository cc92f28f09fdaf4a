"""`--watch`: what comes and goes, until Ctrl-C or until nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from grid.cli._exits import BadInput
from grid.cli._output import Format, print_json, table_of
from grid.cli._rows import COLUMNS, row_of

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.registry.entities import EntityEvent
    from grid.registry.names import Kind

__all__ = ["follow"]


async def follow(client: Client, kind: Kind, output: Format) -> None:
    """Print what is there and then every change.

    Raises:
        BadInput: a JSON array has no end when it is watched.
        EtcdUnavailable: etcd has been away for too long.
    """
    if output is Format.JSON:
        raise BadInput("-o json is one array, which has no end under --watch: use -o jsonl")
    with _until_nobody_reads():
        async with client.watch(kind) as events:
            if output is Format.JSONL:
                async for event in events:
                    print_json(_event(event), on_one_line=True)
            elif sys.stdout.isatty():
                await _live(events, kind, wide=output is Format.WIDE)
            else:
                async for event in events:
                    _print_line(event)


def _event(event: EntityEvent) -> dict[str, Any]:
    one = event.entity
    fields = {"event": _word(event), "kind": one.kind.value, **row_of(one)}
    return {**fields, "annotations": list(one.annotations)}


def _print_line(event: EntityEvent) -> None:
    one = event.entity
    sys.stdout.write(f"{_word(event):<5}  {one.name}  {one.peer}  {one.address}  {one.epoch}\n")
    sys.stdout.flush()


def _word(event: EntityEvent) -> str:
    from grid.registry.entities import EntityFound

    return "found" if isinstance(event, EntityFound) else "lost"


async def _live(events: AsyncIterator[EntityEvent], kind: Kind, *, wide: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    columns = [column for column in COLUMNS[kind] if column.field != "serving"]
    rows: dict[str, dict[str, Any]] = {}
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(table_of((), columns), console=console, refresh_per_second=10) as live:
        async for event in events:
            if _word(event) == "found":
                rows[event.entity.name] = row_of(event.entity)
            else:
                rows.pop(event.entity.name, None)
            live.update(table_of((rows[name] for name in sorted(rows)), columns, wide=wide))


@contextlib.contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End the body with `BrokenPipeError` as soon as the reader of stdout has gone."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    def end() -> None:
        gone.set()
        if task is not None:
            task.cancel()

    watcher = threading.Thread(target=_wait_for_hangup, args=(loop, end), daemon=True)
    watcher.start()
    try:
        yield
    except asyncio.CancelledError:
        if gone.is_set() and task is not None and task.uncancel() == 0:
            raise BrokenPipeError from None
        raise


def _wait_for_hangup(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are reported unasked
    poll.poll()
    with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing to end
        loop.call_soon_threadsafe(end)
