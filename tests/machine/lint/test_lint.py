from __future__ import annotations

import pytest

from machine.errors import SchemaError
from machine.lint import Finding, lint
from machine.schema.schema import Schema
from machine.schema.states import States, state


def found(text: str) -> set[tuple[str, str, str]]:
    return {(finding.code, finding.state, finding.other) for finding in lint(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # nothing to say
        ("A; B", set()),
        ("Opened -Closed; Closed -Opened", set()),
        ("A* ?B; B", set()),
        # R1: two levels of Add
        ("A +B; B +C; C +D; D", {("add-too-deep", "A", "D")}),
        ("A +B,C; B +C; C +D; D", set()),
        # R52: the Remove of the second level comes late
        ("A +B; B +C; C -D; D", {("remove-too-late", "A", "C")}),
        ("A +B -D; B +C; C -D; D", set()),
        # R53 and the canceled Add
        ("A +B,C; B -C; C", {("add-exclusive", "A", "C")}),
        ("A +B; B -A", {("add-excludes-itself", "A", "B")}),
        # R4: what is required does not come along
        ("A +B; B ?C; C", {("add-unmet-require", "A", "B")}),
        ("A +B,C; B ?C; C", set()),
        ("A +B ?C; B ?C; C", set()),
        ("A +B ?X; B ?C; X ?C; C", set()),
        # R16
        ("M! +X; X", {("multi-add", "M", "X")}),
        # R32
        ("A +B -B; B", {("add-and-remove", "A", "B")}),
        ("A +A", {("add-itself", "A", "A")}),
        # R34: neighbours
        ("A >C; B; C", {("after-not-sure", "A", "C")}),
        ("A ?C >C; B; C", set()),
        ("A ?X >C; X ?C; B; C", set()),
        ("A >C; C; Exception -A", set()),
        # R35
        ("A >B; B ?A", {("after-against-require", "A", "B")}),
        ("A >B; B >C; C >A; Exception -A,B,C", {("after-cycle", "A", "B")}),
        # R27, R23
        ("A* -B; B* -A", {("auto-exclusive", "A", "B")}),
        ("A* -B ?X; B* -A ?Y; X -Y; Y -X", set()),
        ("A*! ?B; B", {("auto-multi", "A", "")}),
        ("A*", {("auto-always-on", "A", "")}),
        ("A*; B -A", set()),
        # never
        ("A ?B; B -A", {("never-active", "A", "B")}),
        ("A ?B,C; B -C; C -B", {("never-active", "A", "C")}),
        ("A ?B; B ?C; C -A", {("never-active", "A", "C")}),
        # names
        ("door_open", {("name-style", "door_open", "")}),
        ("HandlerEnd", {("name-like-handler", "HandlerEnd", "Handler")}),
    ],
)
def test_findings(text: str, expected: set[tuple[str, str, str]]) -> None:
    assert found(text) == expected


def test_a_hole_in_a_mutex() -> None:
    text = "A -B,C; B -A,C; C -A,B; D -A,B,C; "
    assert found(text) == set()
    assert found("A -B,C; B -C; C -A,B") == {("one-sided-remove", "A", "B")}


def test_groups() -> None:
    states = {"A": None, "B": None}
    schema = Schema(states, groups={"One": ["A"], "None": [], "AB": ["A", "B"], "BA": ["B", "A"]})
    assert [(finding.code, finding.other) for finding in lint(schema)] == [
        ("group-unused", "One"),
        ("group-unused", "None"),
        ("group-twice", "BA"),
    ]


def test_the_winner_of_exclusive_autos_is_named() -> None:
    (first,) = lint("A* -B ?X; B* -A ?X; X")
    assert "only A does" in first.text
    (first,) = lint("A* ?X; B* -A ?X; X")
    assert "only B does" in first.text


def test_warnings_come_first_and_texts_have_a_cure() -> None:
    findings = lint("door +B; B +C; C +D; D; Z* ")
    assert [finding.level for finding in findings] == ["warning", "info", "info"]
    assert str(findings[0]) == (
        "warning: adding door does not reach D: Add goes two levels deep (door -> B -> C); "
        "add 'D' to door or B [add-too-deep]"
    )
    assert isinstance(findings[0], Finding)
    assert findings[0].relation == "add"


def test_ignore() -> None:
    text = "a*; b*"
    assert len(lint(text)) == 4
    assert len(lint(text, ignore="name-style")) == 2
    assert {finding.state for finding in lint(text, ignore=["name-style:a", "auto-always-on"])} == {
        "b"
    }


def test_every_source_of_a_schema() -> None:
    class Door(States):
        A = state(add="B", remove="B")
        B = state()

    for source in (Door, Door.schema, "A +B -B; B", {"A": {"add": "B", "remove": "B"}, "B": None}):
        assert [finding.code for finding in lint(source)] == ["add-and-remove"]
    with pytest.raises(SchemaError):
        lint("A ?A")
