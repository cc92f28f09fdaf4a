"""Showing rows: a table for people, JSON for programs, Markdown for the manual."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.model import Row
from bench.picture import failover_svg, machine_svg, request_svg, transport_svg

__all__ = ["as_json", "as_markdown", "print_tables", "settings", "write_docs"]

_HEADINGS = ("case", "figure", "ours", "yardstick", "ratio", "required", "")
_HEADING = "### "
_BEGIN, _END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"
_PICTURES = {
    "request": request_svg,
    "failover": failover_svg,
    "transport": transport_svg,
    "machine": machine_svg,
}
_PACKAGES = ("grpcio", "protobuf", "uvloop")


def settings() -> dict[str, Any]:
    """Where and under what a run is made."""
    packages = {package: version(package) for package in _PACKAGES}
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "GRPC_EXPERIMENTS": os.environ.get("GRPC_EXPERIMENTS", ""),
        **packages,
    }


def as_json(rows: Iterable[Row]) -> dict[str, Any]:
    """One object: the settings and a list of rows."""
    return {"settings": settings(), "rows": [_row_json(row) for row in rows]}


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "subject": row.subject,
        "case": row.case,
        "figure": row.figure,
        "unit": row.unit,
        "ours": row.ours,
        "yardstick": row.yardstick,
        "against": row.against,
        "ratio": row.ratio,
        "required": row.required,
        "met": row.met,
        "samples": list(row.samples),
        "ratios": list(row.ratios),
    }


def print_tables(rows: list[Row], console: Console) -> None:
    """One table for each subject."""
    for subject, group in _subjects(rows):
        table = Table(title=subject, title_justify="left", title_style="bold")
        for heading in _HEADINGS:
            right = heading in ("ours", "ratio")
            table.add_column(heading, justify="right" if right else "left")
        for row in group:
            table.add_row(*_cells(row), end_section=row is group[-1])
        console.print(table)


def as_markdown(rows: list[Row]) -> str:
    """A heading and a table for each subject."""
    parts = []
    for subject, group in _subjects(rows):
        lines = [f"### {subject}", "", "| " + " | ".join(_HEADINGS) + " |"]
        lines.append("|---|---|---:|---|---:|---|---|")
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in group]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def write_docs(rows: list[Row], folder: Path) -> None:
    """Renew the measured subjects' sections between the marks in `benchmarks.md`, and the
    pictures of them beside it."""
    page = folder / "benchmarks.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    between, _, after = rest.partition(_END)
    sections = _sections(between)
    made = ", ".join(f"{name} {value}" for name, value in settings().items())
    for subject, group in _subjects(rows):
        heading, _, table = as_markdown(group).partition("\n\n")
        sections[subject] = f"{heading}\n\nMade with {made}.\n\n{table}"
    page.write_text(f"{before}{_BEGIN}\n{''.join(map(_spaced, sections.values()))}{_END}{after}")
    for subject, picture in _PICTURES.items():
        if any(row.subject == subject for row in rows) and (drawn := picture(rows)):
            (folder / f"bench-{subject}.svg").write_text(drawn)


def _sections(text: str) -> dict[str, str]:
    """The sections of a page by subject, each with its heading."""
    found = (part for part in text.split(_HEADING)[1:])
    return {part.partition("\n")[0].strip(): _HEADING + part for part in found}


def _spaced(section: str) -> str:
    return section.strip() + "\n\n"


def _subjects(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    for subject in dict.fromkeys(row.subject for row in rows):
        yield subject, [row for row in rows if row.subject == subject]


def _cells(row: Row) -> tuple[str, ...]:
    yardstick = row.against
    if row.yardstick is not None:
        yardstick = f"{_number(row.yardstick, row.unit)}, {row.against}"
    return (
        row.case,
        row.figure,
        _number(row.ours, row.unit),
        yardstick,
        _ratio(row),
        row.required,
        {None: "", True: "met", False: "MISSED"}[row.met],
    )


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    if len(row.ratios) < 2:
        return f"{row.ratio:.2f}"
    return f"{row.ratio:.2f} ({min(row.ratios):.2f}..{max(row.ratios):.2f})"


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    number = f"{value:,.{digits}f}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"
