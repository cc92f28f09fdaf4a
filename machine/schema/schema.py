"""A set of states and their relations: checked once, immutable, the same everywhere.

    schema = Schema({"Open": State(remove="Closed"), "Closed": State(auto=True, remove="Open")})
    schema == Schema.parse("Open -Closed; Closed* -Open")

The rules: every name in a relation is a state; nothing requires itself, not even around
corners; nothing requires what it removes; no handler's method name can be read in two ways. All
problems are reported at once, in one SchemaError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, Unpack, cast

from machine.errors import InvalidArgument, Problem, SchemaError, UnknownState
from machine.schema import parts as parts
from machine.schema import text as text_form
from machine.schema.drawable import Pictures
from machine.schema.parts import Definition
from machine.schema.rules import check, check_groups, check_order
from machine.schema.state import EXCEPTION, RELATIONS, Changes, Names, Relation, State, flatten

__all__ = ["EXCEPTION", "RELATIONS", "Names", "Relation", "Schema", "State", "as_schema"]

_IMPLIED = State(multi=True)
Requires: TypeAlias = Literal["error", "follow", "drop"]


class Schema(Pictures, Mapping[str, State]):
    """States by name, in their official order, normalised and checked.

    `states` has a State, a mapping of a State's fields, or None (no relations) for each name.
    `order` is the official order and must name every state; without it the order is that of the
    definition. A missing Exception is appended last, as a Multi state. `groups` names lists of
    states, for tools.

    Normalised means: a state is not in its own Remove and After, and does not remove a state that
    it adds. Raises SchemaError with all problems. Immutable and hashable, safe in every thread.
    """

    __slots__ = ("_fingerprint", "_groups", "_hash", "_names", "_overruled", "_states")

    def __init__(
        self,
        states: Mapping[str, Definition],
        *,
        order: Iterable[str] | None = None,
        groups: Mapping[str, Names] | None = None,
    ) -> None:
        self._build(states, order, groups, "", None)

    def _build(
        self,
        states: Mapping[str, Definition],
        order: Iterable[str] | None,
        groups: Mapping[str, Names] | None,
        place: str,
        types: Mapping[str, type] | None,
    ) -> None:
        problems: list[Problem] = []
        built = text_form.read_states(parts.definitions(states, "states"), types, problems)
        built.setdefault(EXCEPTION, _IMPLIED)
        self._overruled = tuple(
            (name, other)
            for name, state in built.items()
            for other in state.remove
            if other != name and other in state.add
        )
        built = {str(name): state.normalised(name) for name, state in built.items()}
        problems += check(built)
        names = tuple(built)
        if order is not None:
            names = tuple(parts.in_order(order))
            problems += check_order(names, built)
            names = names if EXCEPTION in names else (*names, EXCEPTION)
        flat = parts.read_groups(groups or {}, problems)
        problems += check_groups(flat, built)
        if problems:
            raise SchemaError(problems, place=place)
        self._names = names
        self._states = {name: built[name] for name in names}
        self._groups = flat
        self._hash = 0
        self._fingerprint = ""

    # Mapping

    def __getitem__(self, name: str) -> State:
        """The definition of a state. Raises UnknownState (a KeyError)."""
        try:
            return self._states[name]
        except (KeyError, TypeError):
            raise UnknownState(str(name), known=self._names) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._states

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return self is other or (
            self._names == other._names
            and self._states == other._states
            and list(self._groups.items()) == list(other._groups.items())
        )

    def __hash__(self) -> int:
        if not self._hash:
            self._hash = hash((tuple(self._states.items()), tuple(self._groups.items()))) or 1
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (dict(self._states), dict(self._groups))

    def __copy__(self) -> Schema:
        return self

    def __deepcopy__(self, memo: object) -> Schema:
        return self

    def __repr__(self) -> str:
        return f"Schema.parse({str(self)!r})"

    def __str__(self) -> str:
        """The short form, as `Schema.parse` reads it; without groups and types of arguments."""
        return "; ".join(text_form.shorthand(*item) for item in self._written().items())

    # Contents

    @property
    def names(self) -> tuple[str, ...]:
        """All names in their official order, Exception included."""
        return self._names

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Named lists of states."""
        return MappingProxyType(self._groups)

    @property
    def overruled(self) -> tuple[tuple[str, str], ...]:
        """Pairs (state, other) whose Remove was dropped, because the state also adds the other."""
        return self._overruled

    def index(self, name: str) -> int:
        """The position of a state in `names`. Raises UnknownState."""
        self[name]
        return self._names.index(name)

    def tagged(self, tag: str) -> tuple[str, ...]:
        """The states with this tag, or with a `key:value` tag of this key."""
        return tuple(name for name, state in self.items() if state.has_tag(tag))

    def relations_of(self, name: str) -> tuple[Relation, ...]:
        """The kinds of relation a state has, in the order Add, Require, Remove, After."""
        state = self[name]
        return tuple(kind for kind in RELATIONS if state.relation(kind))

    def relations_between(self, source: str, target: str) -> tuple[Relation, ...]:
        """The kinds of relation by which `source` names `target`, in the same order."""
        state = self[source]
        self[target]
        return tuple(kind for kind in RELATIONS if target in state.relation(kind))

    def inbound_relations_of(self, name: str) -> Mapping[str, tuple[Relation, ...]]:
        """The states that name this one in a relation, and in which."""
        self[name]
        found = ((other, self.relations_between(other, name)) for other in self)
        return {other: kinds for other, kinds in found if kinds}

    def fingerprint(self) -> str:
        """A hex text, the same in every process for equal names, order, relations and groups.

        Tags count; types of arguments, timeouts and retries do not: they are the program's.
        """
        if not self._fingerprint:
            data = self.to_dict()
            for state in _mapping(data["states"]).values():
                for field in ("args", "timeout", "retry"):
                    _mapping(state).pop(field, None)
            canonical = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
            self._fingerprint = hashlib.sha256(canonical.encode()).hexdigest()[:32]
        return self._fingerprint

    # Text and data

    @classmethod
    def parse(cls, text: str) -> Schema:
        """The schema of a text like `"A*! ?B,C +D -E >F #tag; B; C"`.

        `^` is initial, `$` final, `*` Auto, `!` Multi, `?` Require, `+` Add, `-` Remove, `>` After,
        `#` tags; states are separated by semicolons or line ends.

        Raises:
            SchemaError: with every place that is wrong.
        """
        return cls(text_form.parse_states(text))

    def to_dict(self) -> dict[str, object]:
        """Plain data of str, bool, list and dict; `from_dict` makes the same schema of it."""
        data: dict[str, object] = {
            "states": {name: text_form.state_data(state) for name, state in self.items()}
        }
        if self._groups:
            data["groups"] = {group: list(names) for group, names in self._groups.items()}
        return data

    @classmethod
    def from_dict(
        cls, data: Mapping[str, object], *, types: Mapping[str, type] | None = None, place: str = ""
    ) -> Schema:
        """The schema of plain data: `{"states": {...}, "order": [...], "groups": {...}}`.

        A state is a mapping of its fields or None. Types of arguments stand as `module:name` and
        are looked up in `types`; without `types`, among the modules imported already, and a type
        that is not found is left out. Raises SchemaError that names `place`, and each problem's.
        """
        return _from_data(cls, data, types, place or "data")

    def to_json(self, *, indent: int | None = 2) -> str:
        """The data as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def from_json(
        cls, text: str, *, types: Mapping[str, type] | None = None, place: str = ""
    ) -> Schema:
        """The schema of a JSON text; errors as in `from_dict`."""
        place = place or "JSON"
        try:
            data = json.loads(text, object_pairs_hook=parts.no_duplicates)
        except (ValueError, RecursionError) as error:
            problem = Problem("syntax", text=f"cannot be read: {error}")
            raise SchemaError(problem, place=place) from error
        return _from_data(cls, data, types, place)

    def to_yaml(self) -> str:
        """The data as YAML text. Raises MissingExtra without PyYAML."""
        return text_form.yaml_dump(self.to_dict())

    @classmethod
    def from_yaml(
        cls, text: str, *, types: Mapping[str, type] | None = None, place: str = ""
    ) -> Schema:
        """The schema of a YAML text; errors as in `from_dict`, MissingExtra without PyYAML."""
        return _from_data(cls, text_form.yaml_load(text, place or "YAML"), types, place or "YAML")

    # Other schemas made of it

    def _written(self) -> dict[str, State]:
        """The states without the Exception that is implied."""
        written = dict(self._states)
        if self._names[-1] == EXCEPTION and written[EXCEPTION] == _IMPLIED:
            del written[EXCEPTION]
        return written

    def merge(self, *others: Mapping[str, Definition] | str | type) -> Schema:
        """All states of both; a later definition of a name replaces an earlier one as a whole."""
        states: dict[str, Definition] = dict(self._written())
        groups: dict[str, Names] = dict(self._groups)
        for other in others:
            schema = _declared(other)
            added = dict(schema._written() if schema else parts.definitions(other, "states"))
            if added.get(EXCEPTION) == _IMPLIED and EXCEPTION in states:
                added = {name: state for name, state in added.items() if name != EXCEPTION}
            states |= added
            groups |= schema.groups if schema else {}
        return Schema(states, groups=groups)

    def __or__(self, other: Schema | Mapping[str, Definition]) -> Schema:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.merge(other)

    def with_states(self, states: Mapping[str, Definition] | str) -> Schema:
        """This schema with these states added, or put in the place of those of the same name."""
        return self.merge(states)

    def extend(self, name: str, state: State) -> Schema:
        """This schema with more relations, flags and tags for one state (see State.extend)."""
        return self.with_states({name: self[name].extend(state)})

    def replace(
        self, name: str, state: State | None = None, /, **changes: Unpack[Changes]
    ) -> Schema:
        """This schema with another definition of one state, or with some of its fields replaced."""
        return self.with_states({name: (self[name] if state is None else state).replace(**changes)})

    def prefix(self, text: str) -> Schema:
        """All states (but Exception) and groups with `text` before their names, everywhere."""
        new = {name: name if name == EXCEPTION else f"{text}{name}" for name in self}
        states = {new[name]: parts.renamed(state, new) for name, state in self._written().items()}
        groups = {
            f"{text}{group}": [new[name] for name in names] for group, names in self._groups.items()
        }
        return Schema(states, groups=groups)

    def only(self, *names: Names, require: Requires = "error") -> Schema:
        """Only these states, with the relations and groups between them.

        A Require of a state that is left out is a SchemaError; with `require="follow"` such states
        come along, with "drop" the Require goes too.
        """
        kept = dict.fromkeys(flatten(names))
        for name in kept:
            self[name]
        if require == "follow":
            kept = self._with_required(kept)
        elif require not in {"error", "drop"}:
            raise InvalidArgument(
                f"require is 'error', 'follow' or 'drop', not {require!r}", argument="require"
            )
        states = {
            name: parts.restricted(name, state, {*kept, EXCEPTION}, strict=require == "error")
            for name, state in self._written().items()
            if name in kept
        }
        groups = {
            group: [name for name in members if name in states or name == EXCEPTION]
            for group, members in self._groups.items()
        }
        return Schema(states, groups={group: names for group, names in groups.items() if names})

    def filter(self, *tags: str, require: Requires = "error") -> Schema:
        """Only the states with one of these tags; `require` as in `only`."""
        wanted = flatten(tags, "tags")
        return self.only([self.tagged(tag) for tag in wanted], require=require)

    def without(self, *names: Names, require: Requires = "error") -> Schema:
        """All but these states; `require` as in `only`."""
        gone = flatten(names)
        for name in gone:
            self[name]
        return self.only([name for name in self if name not in gone], require=require)

    def _with_required(self, names: Iterable[str]) -> dict[str, None]:
        found: dict[str, None] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = None
                todo += self[name].require
        return found


def as_schema(value: object) -> Schema:
    """The schema of a Schema, a States or Enum class, a short text, a mapping, names, or None."""
    declared = _declared(value)
    if declared is not None:
        return declared
    return Schema(parts.definitions({} if value is None else parts.named(value), "schema"))


def _declared(value: object) -> Schema | None:
    found = getattr(value, "schema", None) if isinstance(value, type) else value
    return found if isinstance(found, Schema) else None


def _rebuild(states: dict[str, State], groups: dict[str, tuple[str, ...]]) -> Schema:
    return Schema(states, groups=groups)


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value)


def _from_data(
    kind: type[Schema], data: object, types: Mapping[str, type] | None, place: str
) -> Schema:
    top = parts.data_part(data, "the top", place)
    for key in top:
        if key not in {"states", "order", "groups"}:
            text = f"the top has {key!r}; it may have 'states', 'order' and 'groups'"
            raise SchemaError(Problem("bad-value", text=text), place=place)
    states = parts.data_part(top.get("states"), "states", place)
    groups = parts.data_part(top.get("groups") or {}, "groups", place)
    schema = kind.__new__(kind)
    try:
        schema._build(
            cast("Mapping[str, Definition]", states),
            cast("Iterable[str] | None", top.get("order")),
            cast("Mapping[str, Names]", groups),
            place,
            types,
        )
    except InvalidArgument as error:
        raise SchemaError(Problem("bad-value", text=str(error)), place=place) from error
    return schema
