"""Rows that take waits or contexts, mutate, and say after each step which of them are closed."""

from __future__ import annotations

from typing import Any

from machine.waits.wait import Wait
from tests.machine.vector_kit import Recorder, Vector, apply, build, frozen, letter, rows


def scripts(name: str) -> list[dict[str, Any]]:
    """The rows of a data file of scripts."""
    return [frozen(row) for row in rows(name)]


def script_ids(name: str) -> list[str]:
    """Their ids."""
    return [row["id"] for row in scripts(name)]


def needs_handlers(row: dict[str, Any]) -> bool:
    """Whether a handler of the row does something."""
    return "raises" in row or "returns_false" in row


def closed(one: Any) -> str:
    """c for a wait that is done and a context that has expired, o for one that is open."""
    over = one.done if isinstance(one, Wait) else one.expired
    return "c" if over else "o"


def run_script(row: dict[str, Any], *, handlers: bool) -> None:
    """Runs a row step by step, with a recorder or without any handler."""
    machine = build(row["schema"])
    if handlers:
        doing = {key: row[key] for key in ("raises", "returns_false") if key in row}
        Recorder(machine, Vector(id=row["id"], schema=row["schema"], steps=(), **doing))
    taken: dict[str, Any] = {}
    for number, step in enumerate(row["script"]):
        if "take" in step:
            method, *arguments = step["call"]
            taken[step["take"]] = getattr(machine, method)(*arguments)
        else:
            result = apply(machine, step["op"], step.get("args"))
            if "result" in step:
                assert letter(result) == step["result"], number
        seen = {name: closed(taken[name]) for name in step["states"]}
        assert seen == step["states"], number
    for one in taken.values():
        if isinstance(one, Wait):
            assert one.error is None
