"""`grid doctor`: findings about this machine, etcd and the grid, with their remedies."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from grid.cli._exits import Code
from grid.cli._options import Connection, Output
from grid.cli._output import Format, print_json, styled, write

if TYPE_CHECKING:
    from grid.cli._checks import Finding

__all__ = ["doctor"]

_STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}


async def doctor(connection: Connection, output: Output = Format.TABLE) -> int:
    """Check this machine, etcd and the grid.

    Each finding that is not ok says what to do. Exit code 1 if a check failed.

    $ grid doctor --etcd etcd:2379 -n shop
    $ grid doctor -o json | jq '.[] | select(.state != "ok")'
    """
    from grid.cli._checks import examine
    from grid.registry.names import check_namespace

    findings: list[dict[str, Any]] = []
    async for finding in examine(
        connection.etcd_config(),
        check_namespace(connection.namespace or "default"),
        connection.tls(),
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
    state = styled(f"{finding.state:<6}", _STYLES[finding.state], sys.stdout)
    fix = styled(f"  -> {finding.fix}", "bold", sys.stdout) if finding.fix else ""
    write(f"{state}  {finding.check}: {finding.detail}{fix}\n")
