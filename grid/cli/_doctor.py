"""`grid doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from grid.cli._exits import Code
from grid.cli._options import Connection, Output, command
from grid.cli._output import Format, print_json

if TYPE_CHECKING:
    from grid.cli._checks import Finding

__all__ = ["add_to"]

_STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, rich_help_panel="Look")(doctor)


async def doctor(connection: Connection, output: Output = Format.TABLE) -> int:
    """Check this machine, etcd, and the grid; say what to do about what is wrong.

    Exit code 1 if a check failed.

    $ grid doctor --etcd etcd:2379 -n shop
    $ grid doctor -o json | jq '.[] | select(.state != "ok")'
    """
    from grid.cli._checks import examine
    from grid.registry.names import check_namespace

    findings: list[dict[str, Any]] = []
    async for finding in examine(
        connection.etcd_config(), check_namespace(connection.namespace or "default")
    ):
        findings.append(asdict(finding))
        if output is Format.JSONL:
            print_json(findings[-1], on_one_line=True)
        elif output is not Format.JSON:
            _print(finding)
    if output is Format.JSON:
        print_json(findings, on_one_line=False)
    return Code.FAILED if any(one["state"] == "failed" for one in findings) else Code.OK


def _print(finding: Finding) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(
        (f"{finding.state:<6}", _STYLES[finding.state]), f"  {finding.check}: {finding.detail}"
    )
    if finding.cure:
        line.append(f"  -> {finding.cure}", "bold")
    Console(soft_wrap=True, highlight=False).print(line)
    sys.stdout.flush()
