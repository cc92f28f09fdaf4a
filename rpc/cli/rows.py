"""Rows of data as the commands print them: a table, JSON, or a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import typer

from rpc.cli.options import Format

__all__ = ["Row", "print_rows", "table"]

Row: TypeAlias = dict[str, Any]
Cell: TypeAlias = Callable[[str, Any], str]


def print_rows(
    rows: Sequence[Row],
    columns: Sequence[str],
    output: Format,
    none: str,
    *,
    cell: Cell = lambda _, value: str(value),
    one_line: bool = False,
) -> None:
    """Print rows on stdout; if a table would be empty, say so on stderr.

    Args:
        rows: what to print.
        columns: the keys that a table shows.
        output: the format.
        none: the text instead of an empty table.
        cell: a column and a value as a text.
        one_line: JSON goes on one line.
    """
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=None if one_line else 2))
    elif output is Format.JSONL:
        for row in rows:
            typer.echo(json.dumps(row))
    elif not rows:
        typer.echo(none, err=True)
    else:
        for line in table(columns, rows, cell):
            typer.echo(line)


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], cell: Cell) -> list[str]:
    """The lines of a table, with its head."""
    cells = [[one.upper() for one in columns]]
    cells += [[cell(name, row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
