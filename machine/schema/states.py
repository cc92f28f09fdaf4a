"""States declared as a class: no name is written twice, and type checkers know each of them.

    class Door(States):
        Opened = state(remove="Closed")
        Closed = state(auto=True, remove=[Opened])
        Phase = group(Opened, Closed)

`Door.Opened` is the plain str "Opened", `Door.Phase` is ("Opened", "Closed"), `Door.schema` is the
Schema. To a type checker `Door.Opened` is a `StateName`, a str that also knows the type of the
state's arguments. A state may refer to later ones by name. Declarations inherit: a subclass has the
states and groups of its bases, and replaces those that it declares again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from machine.errors import InvalidArgument, Problem, SchemaError
from machine.schema.retries import Retries
from machine.schema.schema import Schema
from machine.schema.state import EXCEPTION, Names, State, flatten, keywords_checked

__all__ = ["StateName", "States", "TypedState", "group", "state"]

A = TypeVar("A")
P = ParamSpec("P")

if TYPE_CHECKING:

    class StateName(str, Generic[A]):
        """The name of a state whose arguments are of type A (None: it declares none)."""

        __slots__ = ()

        def __takes__(
            self, *, args: A | Mapping[str, Any] | None = None, source: Any = None
        ) -> None:
            """For type checkers alone: the arguments that a mutation of this state takes."""

    class TypedState(Protocol[P]):
        """A state whose name knows the arguments of its mutations."""

        def __takes__(self, *args: P.args, **kwargs: P.kwargs) -> None: ...

else:

    class StateName(str):
        """The name of a state; only type checkers tell it from str, at run time names are str."""

        __slots__ = ()

        def __class_getitem__(cls, item: object) -> type:
            return cls

    class TypedState:
        """A state whose name knows the arguments of its mutations, for type checkers alone."""

        def __class_getitem__(cls, item: object) -> type:
            return cls


class _DeclaredState:
    """The value of state() until the class body gives it a name."""

    __slots__ = ("definition",)

    def __init__(self, definition: State) -> None:
        self.definition = definition

    def __iter__(self) -> NoReturn:
        raise InvalidArgument(
            "this state() has no name yet",
            hint="First assign it to a name in the body of a States class.",
        )


class _DeclaredGroup:
    __slots__ = ("exclusive", "names")

    def __init__(self, names: tuple[str, ...], exclusive: bool) -> None:
        self.names = names
        self.exclusive = exclusive

    def __iter__(self) -> NoReturn:
        raise InvalidArgument(
            "this group() has no name yet",
            hint="First assign it to a name in the body of a States class.",
        )


@overload
def state(
    *,
    args: type[A],
    initial: bool = False,
    final: bool = False,
    auto: bool = False,
    multi: bool = False,
    require: Names = (),
    add: Names = (),
    remove: Names = (),
    after: Names = (),
    tags: Names = (),
    timeout: float | None = None,
    retry: Retries | int | None = None,
) -> StateName[A]: ...


@overload
def state(
    *,
    args: None = None,
    initial: bool = False,
    final: bool = False,
    auto: bool = False,
    multi: bool = False,
    require: Names = (),
    add: Names = (),
    remove: Names = (),
    after: Names = (),
    tags: Names = (),
    timeout: float | None = None,
    retry: Retries | int | None = None,
) -> StateName[None]: ...


@keywords_checked
def state(
    *,
    args: type | None = None,
    initial: bool = False,
    final: bool = False,
    auto: bool = False,
    multi: bool = False,
    require: Names = (),
    add: Names = (),
    remove: Names = (),
    after: Names = (),
    tags: Names = (),
    timeout: float | None = None,
    retry: Retries | int | None = None,
) -> object:
    """Declare a state in the body of a States class; the parameters are those of State.

    Relations take names, variables that an earlier state() or group() was assigned to, and nested
    lists of both. Raises InvalidArgument for a wrong type or a misspelt keyword.
    """
    definition = State(
        initial=initial,
        final=final,
        auto=auto,
        multi=multi,
        require=require,
        add=add,
        remove=remove,
        after=after,
        tags=tags,
        args=args,
        timeout=timeout,
        retry=retry,
    )
    return _DeclaredState(definition)


def group(*states: Names, exclusive: bool = False) -> tuple[str, ...]:
    """Declare a named list of states in the body of a States class; groups may hold groups.

    Args:
        exclusive: at most one of them is active: each removes all others.
    """
    return cast("tuple[str, ...]", _DeclaredGroup(flatten(states, "group"), exclusive is True))


class _Body(dict[str, object]):
    """The body of a States class while it runs: gives each declaration its name at once."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner
        self.states: dict[str, State] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.exclusive: dict[str, bool] = {}  # of the groups

    def __setitem__(self, name: str, value: object) -> None:
        value = self._declare(name, value)
        super().__setitem__(name, value)

    def _declare(self, name: str, value: object) -> object:
        if name.startswith("__") and name.endswith("__"):
            return value
        if name in self.states or name in self.groups:
            raise _clash(self.owner, name, "is declared twice", "Keep one of the declarations.")
        if isinstance(value, _DeclaredState | _DeclaredGroup) and name in _RESERVED:
            raise _clash(
                self.owner, name, "has a name that States itself uses", "Choose another name."
            )
        if isinstance(value, _DeclaredState):
            self.states[name] = value.definition
            return name
        if isinstance(value, _DeclaredGroup):
            self.groups[name] = value.names
            self.exclusive[name] = value.exclusive
            return value.names
        if not _harmless(name, value):
            raise _clash(
                self.owner,
                name,
                f"is neither a state nor a group but {type(value).__name__} {value!r}",
                "Declare it with state() or group(), without a comma after it.",
            )
        return value


_RESERVED = frozenset({"schema", "names", "groups", "mro"})


def _harmless(name: str, value: object) -> bool:
    return name.startswith("_") or isinstance(value, classmethod | staticmethod | property)


def _clash(owner: str, name: str, what: str, hint: str) -> SchemaError:
    problem = Problem("declaration", name, text=f"{owner}.{name} {what}. {hint}")
    return SchemaError(problem, place=owner)


class _StatesMeta(type):
    """The metaclass that collects the declarations of class bodies and makes them constant."""

    @classmethod
    def __prepare__(
        cls, name: str, bases: tuple[type, ...], /, **options: object
    ) -> dict[str, object]:
        return _Body(name)

    def __new__(
        mcs, name: str, bases: tuple[type, ...], body: dict[str, object], /, **options: object
    ) -> _StatesMeta:
        if not isinstance(body, _Body):
            filled = _Body(name)
            for key, value in body.items():
                filled[key] = value
            body = filled
        for key, value in list(body.items()):
            if isinstance(value, _DeclaredState | _DeclaredGroup):  # put there past __setitem__
                body[key] = value
        made = super().__new__(mcs, name, bases, dict(body), **options)
        _finish(made, body)
        return made

    if not TYPE_CHECKING:  # a type checker would take any attribute for settable

        def __setattr__(cls, name: str, value: object) -> None:
            if name.startswith("_"):
                super().__setattr__(name, value)
                return
            raise InvalidArgument(
                f"{cls.__name__}.{name} cannot be set, the states of a class are fixed",
                argument=name,
                hint=f"Declare it in a subclass of {cls.__name__}.",
            )

        def __delattr__(cls, name: str) -> None:
            raise InvalidArgument(f"{cls.__name__}.{name} cannot be deleted", argument=name)

    def __call__(cls, *args: object, **named: object) -> NoReturn:
        raise InvalidArgument(
            f"{cls.__name__} declares states and has no instances",
            hint=f"Make a machine of it: Machine({cls.__name__}).",
        )


def _finish(made: _StatesMeta, body: _Body) -> None:
    type.__setattr__(made, "_declared", (body.states, body.groups, body.exclusive))
    states = _inherited(made, 0)
    groups = _inherited(made, 1)
    for name in states.keys() & groups.keys():
        raise _clash(
            made.__name__, name, "is a state and, inherited, also a group", "Rename one of them."
        )
    _check_attributes(made, body, {**{name: name for name in states}, **groups})
    place = f"class {made.__name__}"
    exclusive = [groups[name] for name, one in _inherited(made, 2).items() if one]
    try:
        schema = Schema(
            _excluding(
                cast("Mapping[str, State]", states), cast("list[tuple[str, ...]]", exclusive)
            ),
            groups=cast("Mapping[str, Names]", groups),
        )
    except SchemaError as error:
        raise SchemaError(error.problems, place=place) from None
    type.__setattr__(made, "schema", schema)
    type.__setattr__(made, "names", schema.names)
    type.__setattr__(made, "groups", schema.groups)


def _excluding(states: Mapping[str, State], groups: list[tuple[str, ...]]) -> dict[str, State]:
    """The states, where those of each of these groups remove each other."""
    found = dict(states)
    for names in groups:
        for name in names:
            if name in found:  # others are a problem of the group, which the schema reports
                others = tuple(other for other in names if other != name)
                found[name] = found[name].extend(State(remove=others))
    return found


def _check_attributes(made: _StatesMeta, body: _Body, expected: Mapping[str, object]) -> None:
    for name, value in expected.items():
        if getattr(made, name, None) != value:
            raise _clash(
                made.__name__,
                name,
                "is inherited and hidden by something else",
                "Rename one of them.",
            )
    annotations = cast("Mapping[str, object]", body.get("__annotations__") or {})
    for name in annotations:
        hidden = name.startswith("_") or name in _RESERVED or name == EXCEPTION
        if not hidden and name not in body:
            raise _clash(
                made.__name__, name, "is annotated but not declared", f"Write {name} = state()."
            )


def _inherited(made: type, part: int) -> dict[str, object]:
    """States or groups in the order of the bases, bases first, each as Python's lookup finds it."""
    order: dict[str, object] = {}
    for base in made.__bases__:
        if isinstance(base, _StatesMeta):
            order |= _inherited(base, part)
    order |= _own(made, part)
    for kind in reversed(made.__mro__):
        order |= _own(kind, part)
    return order


def _own(kind: type, part: int) -> Mapping[str, object]:
    declared = vars(kind).get("_declared")
    return declared[part] if declared else {}


class States(metaclass=_StatesMeta):
    """The base of declarations. It has the state Exception, which every machine knows.

    `schema`, `names` and `groups` are made when the class is, which raises SchemaError with all
    that is wrong. The class has no instances and cannot be changed.
    """

    schema: ClassVar[Schema]
    names: ClassVar[tuple[str, ...]]
    groups: ClassVar[Mapping[str, tuple[str, ...]]]
    Exception: ClassVar[StateName[None]]


type.__setattr__(States, EXCEPTION, EXCEPTION)
