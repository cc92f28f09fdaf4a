"""Data on stdout, talk on stderr."""

from __future__ import annotations

import enum
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Column",
    "Format",
    "compact",
    "plain",
    "print_json",
    "print_row",
    "print_rows",
    "say",
    "say_error",
    "table_of",
]


_GRPC_NOISE = re.compile(
    r"failed to connect to all addresses; last error: "
    r"(?:[A-Z_]+: )?\S+: (?:Failed to connect to remote host: )?",
)


class Format(enum.StrEnum):
    """How data is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, the field it shows, and whether only `wide` has it."""

    title: str
    field: str
    wide: bool = False


def plain(text: str) -> str:
    """A text without what gRPC says around the cause."""
    return _GRPC_NOISE.sub("", text)


def say(text: str, *, style: str = "") -> None:
    """A line for the person at the terminal."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(text, style))


def say_error(text: str) -> None:
    """The line that says why a command failed."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error:", "bold red"), " ", text)
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def print_json(value: Any, *, on_one_line: bool) -> None:
    """One JSON value."""
    text = compact(value) if on_one_line else json.dumps(value, ensure_ascii=False, indent=2)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_rows(rows: Sequence[dict[str, Any]], columns: Iterable[Column], style: Format) -> None:
    """Rows as a table, one JSON array, or one JSON object per line."""
    if style is Format.JSON:
        print_json(rows, on_one_line=False)
    elif style is Format.JSONL:
        for row in rows:
            print_json(row, on_one_line=True)
    elif rows:
        _print_table(rows, columns, wide=style is Format.WIDE)


def print_row(row: dict[str, Any], columns: Iterable[Column], style: Format) -> None:
    """The one row there is, as a table or a JSON object."""
    if style in (Format.JSON, Format.JSONL):
        print_json(row, on_one_line=style is Format.JSONL)
    else:
        print_rows([row], columns, style)


def table_of(
    rows: Iterable[dict[str, Any]], columns: Iterable[Column], *, wide: bool = False
) -> Table:
    """A table without lines, for a terminal."""
    from rich.table import Table

    shown = [column for column in columns if wide or not column.wide]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(column.title, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column.field)) for column in shown))
    return table


def _print_table(rows: Sequence[dict[str, Any]], columns: Iterable[Column], *, wide: bool) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(
            table_of(rows, columns, wide=wide)
        )
        return
    shown = [column for column in columns if wide or not column.wide]
    lines = [[column.title for column in shown]]
    lines += [[_cell(row.get(column.field)) for column in shown] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    sys.stdout.flush()


def _cell(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
