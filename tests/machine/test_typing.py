"""Machines as type checkers see them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
PROGRAM = """
from dataclasses import dataclass

from machine import Machine, Result, States, Wait, on, state


class Text(Machine, schema="A; B"):
    count: int = 0

    def AState(self) -> None:
        self.count += 1

    @on.enter("B")
    def checks(self) -> bool:
        return self.is_("A")


@dataclass
class Approval:
    by: str


@dataclass
class Other:
    by: str


class Steps(States):
    Pending = state()
    Approved = state(require=Pending, args=Approval)


class Flow(Machine[Steps]):
    pass


def any_machine(machine: Machine) -> Wait:
    return machine.when("A")


text, flow = Text(), Flow()
result: Result = text.add("A", args={"n": 1})
any_machine(text)
any_machine(flow)
flow.add(Steps.Approved, args=Approval("kim"))
flow.add(Steps.Approved, args={"by": "kim"})
flow.add(Steps.Approved, Steps.Pending, args=Approval("kim"))
flow.can_add(Steps.Approved, args=Approval("kim"))
calls = {"+": text.add, "-": text.remove, "=": text.set, "?": text.can_add}
calls["+"]("A", args=None).executed
"""
WRONG = """
flow.add(Steps.Approved, args=5)  # error: call-overload "Approval"
flow.add(Steps.Approved, args=Other("kim"))  # error: call-overload "Other"
flow.can_add(Steps.Approved, args=Other("kim"))  # error: call-overload "Other"
flow.add("Pending", args=[1])  # error: call-overload "list[int]"
text.remove("A", args=5)  # error: arg-type "int"
text.add(5)  # error: call-overload "int"
if text.add("A"):  # error: truthy-bool "Result"
    "it" + 1  # error: operator
while not text.remove("A"):  # error: truthy-bool "Result"
    "goes" + 1  # error: operator
"""


def test_what_is_right_passes_and_what_is_wrong_is_reported(tmp_path: Path) -> None:
    """Strict, and with the code that the manual tells of; also behind `if machine.add(...)`."""
    file = tmp_path / "program.py"
    source = textwrap.dedent(PROGRAM + WRONG)
    file.write_text(source)
    options = ["--strict", "--enable-error-code", "truthy-bool", "--config-file="]
    out, error, _ = api.run([*options, "--cache-dir", str(ROOT / ".mypy_cache"), str(file)])
    assert not error
    found = {int(line): text for line, text in re.findall(r"program\.py:(\d+): error: (.*)", out)}
    wanted: dict[int, tuple[str, ...]] = {}
    for number, line in enumerate(source.splitlines(), 1):
        if "# error: " in line:
            wanted[number] = tuple(line.partition("# error: ")[2].split(" ", 1))
    assert found.keys() == wanted.keys(), out
    for number, (code, *words) in wanted.items():
        assert f"[{code}]" in found[number]
        assert all(word.strip('"') in found[number] for word in words), found[number]
        assert "type parameter" not in found[number]
