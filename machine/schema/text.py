"""Schemas as short text and as plain data."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import cast

from machine.errors import (
    InvalidArgument,
    MissingExtra,
    Problem,
    SchemaError,
    did_you_mean,
    near_names,
)
from machine.schema.state import FIELDS, State

__all__ = [
    "args_name",
    "parse_states",
    "read_states",
    "shorthand",
    "state_data",
    "yaml_dump",
    "yaml_load",
]

_SIGNS = {"?": "require", "+": "add", "-": "remove", ">": "after", "#": "tags"}
_HEAD = re.compile(r"\s*(?P<name>[^\s*!^$?+\->#,]+)\s*(?P<flags>[*!^$\s]*)")
_NAME = r"[^\s?+\->#,*!^$]+"
_PART = re.compile(rf"\s*(?P<sign>[?+\->])\s*(?P<names>{_NAME}(?:\s*,\s*{_NAME})*)")
_TAGS = re.compile(r"\s*#\s*(?P<names>[^\s,]+(?:\s*,\s*[^\s,]+)*)")
_TAG = re.compile(r"[^\s,;#]+")

FORM = "A*! ?B,C +D -E >F"


def shorthand(name: str, state: State) -> str:
    """One state in the short form. Tags that have blanks, commas or semicolons are left out."""
    flags = (
        *(("^", state.initial), ("$", state.final)),
        *(("*", state.auto), ("!", state.multi)),
    )
    parts = [name + "".join(sign for sign, holds in flags if holds)]
    for sign, field in _SIGNS.items():
        names = state.tags if field == "tags" else state.relation(field)
        if field == "tags":
            names = tuple(tag for tag in names if _TAG.fullmatch(tag))
        if names:
            parts.append(f"{sign}{','.join(names)}")
    return " ".join(parts)


def parse_states(text: str) -> dict[str, State]:
    """The states of a text in the short form. Raises SchemaError with all that is unreadable."""
    if not isinstance(text, str):
        raise InvalidArgument(
            f"parse takes a str, not {type(text).__name__}", argument="text", hint=f"Like {FORM!r}."
        )
    states: dict[str, State] = {}
    problems: list[Problem] = []
    parts = [part for part in re.split(r"[;\n]", text) if part.strip()]
    for number, part in enumerate(parts, 1):
        try:
            name, state = _parse_state(part)
        except InvalidArgument as error:
            text = f"state {number} ({part.strip()!r}): {error}"
            problems.append(Problem("syntax", text=text))
            continue
        if name in states:
            text = f"state {number}: {name!r} is defined twice; keep one of the definitions"
            problems.append(Problem("duplicate", name, text=text))
        states[name] = state
    if problems:
        raise SchemaError(problems)
    return states


def _parse_state(text: str) -> tuple[str, State]:
    head = _HEAD.match(text)
    if head is None:
        raise InvalidArgument("has no name", hint=f"The form is {FORM!r}.")
    given: dict[str, list[str]] = {field: [] for field in _SIGNS.values()}
    at = head.end()
    while text[at:].strip():
        part = _PART.match(text, at) or _TAGS.match(text, at)
        if part is None:
            raise InvalidArgument(
                f"cannot read {text[at:].strip()!r}", hint=f"The form is {FORM!r}."
            )
        sign = part.groupdict().get("sign") or "#"
        given[_SIGNS[sign]] += [one.strip() for one in part["names"].split(",")]
        at = part.end()
    flags = head["flags"]
    state = State(
        initial="^" in flags,
        final="$" in flags,
        auto="*" in flags,
        multi="!" in flags,
        require=given["require"],
        add=given["add"],
        remove=given["remove"],
        after=given["after"],
        tags=given["tags"],
    )
    return head["name"], state


def args_name(kind: type) -> str:
    """The name of a class in data: `module:Qualified.name`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def state_data(state: State) -> dict[str, object]:
    """One state as plain data; fields with their default value are left out."""
    data: dict[str, object] = {}
    for field in FIELDS:
        value = getattr(state, field)
        if value:
            data[field] = list(value) if isinstance(value, tuple) else value
    if state.args is not None:
        data["args"] = args_name(state.args)
    if state.retry is not None:
        data["retry"] = asdict(state.retry)
    return data


def read_states(
    data: Mapping[str, object], types: Mapping[str, type] | None, problems: list[Problem]
) -> dict[str, State]:
    """The states of plain data; definitions that cannot be read go to `problems`."""
    return {name: read_state(name, value, types, problems) for name, value in data.items()}


def read_state(
    name: str, value: object, types: Mapping[str, type] | None, problems: list[Problem]
) -> State:
    """One state of plain data, None for one without relations."""
    if isinstance(value, State):
        return value
    if value is None:
        return State()
    if not isinstance(value, Mapping):
        text = f"states.{name}: a State, a mapping or None, not {type(value).__name__} {value!r}"
        problems.append(Problem("bad-value", name, text=text))
        return State()
    given = dict(value)
    try:
        given["args"] = _read_args(given.get("args"), types)
        return State(**given)
    except (InvalidArgument, TypeError) as error:
        problems.append(Problem("bad-value", name, text=f"states.{name}: {error}"))
        return State()


def _read_args(value: object, types: Mapping[str, type] | None) -> type | None:
    if not isinstance(value, str):
        return cast("type | None", value)  # State checks it
    if types is None:
        return _loaded(value)
    if value not in types:
        raise InvalidArgument(
            f"args {value!r} is not among types={did_you_mean(near_names(value, types))}",
            argument="args",
            hint="Add it to types=.",
        )
    return types[value]


def _loaded(text: str) -> type | None:
    """The class of that name if its module is imported already: data never imports anything."""
    module, _, path = text.partition(":")
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found if isinstance(found, type) else None


def yaml_load(text: str, place: str) -> object:
    """The content of a YAML text. Raises MissingExtra without PyYAML, SchemaError for bad YAML."""
    yaml = _yaml()
    try:
        return cast("Callable[[str], object]", yaml["safe_load"])(text)
    # The others are of dates that there are not, and of lists in lists without an end.
    except (cast("type[Exception]", yaml["YAMLError"]), ValueError, RecursionError) as error:
        raise SchemaError(
            Problem("syntax", text=f"cannot be read: {error}"), place=place
        ) from error


def yaml_dump(data: object) -> str:
    """The data as YAML, in its own order."""
    dump = cast("Callable[..., str]", _yaml()["safe_dump"])
    return dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _yaml() -> dict[str, object]:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtra("PyYAML", "yaml", "schemas as YAML") from error
    return dict(vars(yaml))
