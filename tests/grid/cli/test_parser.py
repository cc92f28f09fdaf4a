"""The command line: words to values, and words to offer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from grid.cli._exits import BadInput
from grid.cli._parser import Parameter, complete, parse
from grid.cli._values import seconds


def _offer(given: Mapping[str, Any], _: str) -> list[str]:
    return ["alpha", "beta", *given]


PARAMETERS = (
    Parameter(metavar="NAME", name="name", required=True, complete=_offer),
    Parameter(metavar="MORE", name="more", many=True),
    Parameter(flags=("--output", "-o"), metavar="FORMAT", name="output", default="table"),
    Parameter(flags=("--watch", "-w"), name="watch", default=False, variable="T_WATCH"),
    Parameter(flags=("--timeout",), metavar="S", name="timeout", convert=seconds("--timeout")),
    Parameter(flags=("--tag",), metavar="K=V", name="tag", many=True, variable="T_TAG"),
    Parameter(flags=("--secret",), name="secret", default=False, hidden=True),
)
NOTHING = {
    "more": None,
    "output": "table",
    "watch": False,
    "timeout": None,
    "tag": None,
    "secret": False,
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a", {"name": "a"}),
        ("a b c", {"name": "a", "more": ["b", "c"]}),
        ("-o json a", {"name": "a", "output": "json"}),
        ("a -ojson", {"name": "a", "output": "json"}),
        ("a --output=json --output wide", {"name": "a", "output": "wide"}),
        ("a --output=", {"name": "a", "output": ""}),
        ("a -wo json", {"name": "a", "output": "json", "watch": True}),
        ("--watch a --timeout 0.5", {"name": "a", "watch": True, "timeout": 0.5}),
        ("a --tag x=1 --tag y=2", {"name": "a", "tag": ["x=1", "y=2"]}),
        ("-- --watch -o", {"name": "--watch", "more": ["-o"]}),
        ("- b", {"name": "-", "more": ["b"]}),
        ("a -o -", {"name": "a", "output": "-"}),
    ],
)
def test_words_become_values(line: str, expected: dict[str, Any]) -> None:
    assert parse("c", PARAMETERS, line.split()) == {**NOTHING, **expected}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", r"^NAME is missing; see: grid c --help$"),
        ("a --wat", r"^no such option: --wat \(did you mean --watch\?\); see: grid c --help$"),
        ("a -x", r"^no such option: -x"),
        ("a --output", r"^--output needs a value"),
        ("a --watch=yes", r"^--watch takes no value"),
        ("a -wx", r"^no such option: -x"),
        ("a --timeout x", r"^--timeout must be a number of seconds above 0, not 'x'$"),
    ],
)
def test_wrong_words_are_named(line: str, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        parse("c", PARAMETERS, line.split())


def test_too_many_words_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^unexpected argument 'b'; see: grid c --help$"):
        parse("c", PARAMETERS[:1], ["a", "b"])


def test_variables_stand_for_options_that_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_WATCH", "True")
    monkeypatch.setenv("T_TAG", "x=1 y=2")
    assert parse("c", PARAMETERS, ["a"]) == {
        **NOTHING,
        "name": "a",
        "watch": True,
        "tag": ["x=1", "y=2"],
    }
    assert parse("c", PARAMETERS, ["a", "--tag", "z=3"])["tag"] == ["z=3"]
    monkeypatch.setenv("T_WATCH", "0")
    assert parse("c", PARAMETERS, ["a"])["watch"] is False
    monkeypatch.setenv("T_WATCH", "maybe")
    with pytest.raises(BadInput, match=r"^T_WATCH must be one of 1, true"):
        parse("c", PARAMETERS, ["a"])


@pytest.mark.parametrize(
    ("line", "typed", "expected"),
    [
        ("", "", ["alpha", "beta"]),
        ("", "b", ["beta"]),
        ("-o json", "o", ["output"]),
        ("a", "", []),
        ("", "--", ["--output", "--tag", "--timeout", "--watch"]),
        ("a", "--t", ["--tag", "--timeout"]),
        ("--output", "", []),
        ("--wat", "", []),
    ],
)
def test_words_to_offer(line: str, typed: str, expected: list[str]) -> None:
    assert complete(PARAMETERS, line.split(), typed) == expected
