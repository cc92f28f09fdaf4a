"""Output of commands: data on stdout, everything else on stderr.

Data is never lost: when stdout cannot be written to, `CannotPrint` carries the
text, and the command prints it on stderr beside the cause.
"""

from __future__ import annotations

import enum
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from grid.errors import GridError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "CannotPrint",
    "Column",
    "Format",
    "compact",
    "discard",
    "plain",
    "print_json",
    "print_row",
    "print_rows",
    "put",
    "say",
    "say_error",
    "styled",
    "table_of",
    "write",
]

_GRPC_NOISE = re.compile(
    r"failed to connect to all addresses; last error: "
    r"(?:[A-Z_]+: )?\S+: (?:Failed to connect to remote host: )?",
)
_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "bold red": "1;31",
    "bold green": "1;32",
}


class CannotPrint(GridError):
    """Standard output cannot be written to.

    Attributes:
        text: the data that was to be printed.
    """

    def __init__(self, cause: OSError, text: str) -> None:
        self.text = text
        super().__init__(f"cannot write to standard output: {cause.strerror or cause}")


class Format(enum.StrEnum):
    """Format of printed data."""

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
    """A text without gRPC's words around the cause."""
    return _GRPC_NOISE.sub("", text)


def say(text: str, *, style: str = "") -> None:
    """Print a line on stderr."""
    _print_error(styled(text, style, sys.stderr))


def say_error(text: str) -> None:
    """Print the line that says why a command failed."""
    _print_error(f"{styled('error:', 'bold red', sys.stderr)} {text}")


def styled(text: str, style: str, target: TextIO) -> str:
    """A text with the codes of a style, if the target is a terminal that wants colours."""
    # Without rich: importing it takes longer than all the rest of a command.
    if not style or "NO_COLOR" in os.environ or not target.isatty():
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return json.dumps(value, ensure_ascii=_needs_ascii(), separators=(",", ":"))


def print_json(value: Any, *, on_one_line: bool) -> None:
    """Print one JSON value."""
    if on_one_line:
        write(compact(value) + "\n")
    else:
        write(json.dumps(value, ensure_ascii=_needs_ascii(), indent=2) + "\n")


def write(text: str) -> None:
    """Write data to stdout.

    Raises:
        CannotPrint: the disk is full, or stdout is closed.
        BrokenPipeError: the reader has gone.
    """
    try:
        put(text, sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends.
        discard(sys.stdout)
        raise CannotPrint(error, text) from None


def put(text: str, target: TextIO) -> None:
    """Write a text at once; characters that the target's encoding lacks become escapes."""
    try:
        target.write(text)
    except UnicodeEncodeError:
        encoding = target.encoding
        target.write(text.encode(encoding, "backslashreplace").decode(encoding))
    target.flush()


def discard(target: TextIO) -> None:
    """Let what is written to a target from now on, and what its buffer holds, go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, target.fileno())
    os.close(null)


def print_rows(rows: Sequence[dict[str, Any]], columns: Iterable[Column], style: Format) -> None:
    """Print rows as a table, one JSON array, or one JSON object per line."""
    if style is Format.JSON:
        print_json(rows, on_one_line=False)
    elif style is Format.JSONL:
        write("".join(f"{compact(row)}\n" for row in rows))
    elif rows:
        _print_table(rows, columns, wide=style is Format.WIDE)


def print_row(row: dict[str, Any], columns: Iterable[Column], style: Format) -> None:
    """Print a single row as a table or a JSON object."""
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
    text = ""
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text += "  ".join(cells).rstrip() + "\n"
    write(text)


def _cell(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _needs_ascii() -> bool:
    # Escapes of JSON are data; those of an error handler for encodings would not be.
    return not sys.stdout.encoding.lower().startswith("utf")


def _print_error(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:  # closed or full: no other place is left
        return
