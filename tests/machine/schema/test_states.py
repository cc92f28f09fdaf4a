from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import new_class
from typing import Any

import pytest

from machine.errors import InvalidArgument, SchemaError
from machine.lint import lint
from machine.ready_made import Basic, Connected, ConnPool, Disposed
from machine.schema.schema import EXCEPTION, Schema, State
from machine.schema.states import States, group, state


@dataclass
class ClosedArgs:
    why: str


class Door(States):
    Opened = state(remove="Closed")
    Closed = state(auto=True, remove=[Opened], args=ClosedArgs)
    Phase = group(Opened, Closed)


class Front(Door):
    Ajar = state(require=Door.Opened)
    Opened = state(multi=True, remove=Door.Phase)
    Phase = group(Door.Phase, Ajar)
    Other = group("Ajar", EXCEPTION)


def declare(name: str, bases: tuple[type, ...], body: dict[str, object]) -> type[States]:
    kind: Any = type(States)
    made: type[States] = kind(name, bases, body)
    return made


def test_attributes_are_plain_names() -> None:
    assert type(Door.Opened) is str
    assert (Door.Opened, Door.Closed, Door.Exception) == ("Opened", "Closed", EXCEPTION)
    assert Door.Phase == ("Opened", "Closed")


def test_the_schema_is_that_of_the_declarations() -> None:
    assert Door.schema == Schema(
        {
            "Opened": State(remove="Closed"),
            "Closed": State(auto=True, remove="Opened", args=ClosedArgs),
        },
        groups={"Phase": ["Opened", "Closed"]},
    )
    assert Door.names == ("Opened", "Closed", EXCEPTION)
    assert dict(Door.groups) == {"Phase": ("Opened", "Closed")}
    assert States.names == (EXCEPTION,)


def test_a_subclass_inherits_and_replaces() -> None:
    assert Front.names == ("Opened", "Closed", "Ajar", EXCEPTION)
    assert Front.schema["Opened"] == State(multi=True, remove="Closed")
    assert Front.schema["Closed"] == Door.schema["Closed"]
    assert dict(Front.groups) == {
        "Phase": ("Opened", "Closed", "Ajar"),
        "Other": ("Ajar", EXCEPTION),
    }
    assert Door.names == ("Opened", "Closed", EXCEPTION)


def test_several_bases_come_in_order_and_the_lookup_of_python_decides() -> None:
    class Left(States):
        A = state()
        B = state(add=A)

    class Right(States):
        C = state()
        B = state()

    class Both(Left, Right):
        D = state(require=[Left.A, Right.C])

    assert Both.names == ("A", "B", "C", "D", EXCEPTION)
    assert Both.schema["B"] == State(add="A")

    class Diamond(Both, Left):
        pass

    assert Diamond.names == Both.names
    assert Diamond.schema == Both.schema


def test_the_upstream_states_file() -> None:
    class Super(States):
        Foo = state()
        Baz = state()
        FooBaz = group(Foo, Baz)

    class Child(Super):
        Bar = state()
        FooBar = group(Super.Foo, Bar)

    assert (Child.Foo, Child.Baz, Child.Bar) == ("Foo", "Baz", "Bar")
    assert Child.FooBar == ("Foo", "Bar")
    assert Child.FooBaz == ("Foo", "Baz")
    assert "Foo" in Child.schema


def test_exception_can_be_declared() -> None:
    class Strict(States):
        Exception = state(multi=True, tags="error")
        Work = state(remove=Exception)  # noqa: A003

    assert Strict.names == (EXCEPTION, "Work")
    assert Strict.schema["Work"].remove == (EXCEPTION,)


def test_problems_name_the_class() -> None:
    with pytest.raises(
        SchemaError, match=r"in class Bad: 'A' has add='Bb', which is no state"
    ) as it:

        class Bad(States):
            A = state(add="Bb")

    assert it.value.problems[0].code == "unknown-state"


@pytest.mark.parametrize("name", ["schema", "names", "groups", "mro"])
def test_reserved_names(name: str) -> None:
    with pytest.raises(SchemaError, match=f"Bad.{name} has a name that States itself uses"):
        declare("Bad", (States,), {name: state()})


def test_made_without_a_class_statement() -> None:
    made = declare("Made", (Door,), {"New": state(require="Opened")})
    assert made.schema.names == ("Opened", "Closed", "New", EXCEPTION)


def test_made_by_new_class() -> None:
    made = new_class("Made", (Door,), {}, lambda body: body.update(New=state(add="Closed")))
    assert issubclass(made, States)
    assert made.schema["New"] == State(add="Closed")


def test_declared_twice() -> None:
    with pytest.raises(SchemaError, match=r"Bad\.A is declared twice"):

        class Bad(States):
            A = state()
            A = state()  # noqa: PIE794


def test_a_comma_or_an_alias_is_found() -> None:
    with pytest.raises(SchemaError, match=r"Bad\.A is neither .* tuple .* without a comma"):

        class Bad(States):
            A = (state(),)

    with pytest.raises(SchemaError, match=r"Alias\.B is neither a state nor a group but str 'A'"):

        class Alias(States):
            A = state()
            B = A

    with pytest.raises(SchemaError, match=r"Bare\.A is annotated but not declared"):

        class Bare(States):
            A: str


def test_a_state_without_a_name() -> None:
    with pytest.raises(InvalidArgument, match="has no name yet"):
        state(add=[state()])
    with pytest.raises(InvalidArgument, match="has no name yet"):
        group(group("A"))


def test_misspelt_and_wrong_keywords() -> None:
    with pytest.raises(InvalidArgument, match="did you mean 'remove'"):
        state(remov="A")  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument, match="add takes a name or names, not int 3"):
        state(add=3)  # type: ignore[call-overload]


def test_an_inherited_state_must_not_be_hidden() -> None:
    with pytest.raises(SchemaError, match=r"Bad\.Opened is inherited and hidden"):

        class Bad(Door):
            @property
            def Opened(self) -> str:  # type: ignore[override]
                return ""

    with pytest.raises(SchemaError, match="is a state and, inherited, also a group"):
        declare("Worse", (Door,), {"Phase": state()})


def test_classes_are_fixed_and_have_no_instances() -> None:
    with pytest.raises(InvalidArgument, match=r"Door\.New cannot be set"):
        Door.New = "New"  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgument, match="cannot be deleted"):
        del Door.Opened
    with pytest.raises(InvalidArgument, match=r"Machine\(Door\)"):
        Door()


READY: dict[type[States], str] = {
    Basic: (
        "Exception!; ErrNetwork! ?Exception +Exception; ErrHandlerTimeout! ?Exception +Exception; "
        "Start; Ready ?Start; Healthcheck!; Heartbeat"
    ),
    Connected: (
        "ErrConnecting ?Exception; Connecting ?Start -Connected,Disconnecting,Disconnected; "
        "Connected ?Start -Connecting,Disconnecting,Disconnected; "
        "Disconnecting -Connecting,Connected,Disconnected; "
        "Disconnected* -Connecting,Connected,Disconnecting"
    ),
    ConnPool: (
        "ErrConnecting ?Exception; Connecting ?Start -Disconnecting; "
        "Connected ?Start -Disconnected; ConnectedFully ?Connected -Disconnected; "
        "Disconnecting -ConnectedFully,Connected,Connecting; "
        "Disconnected -Connecting,ConnectedFully,Disconnecting"
    ),
    Disposed: (
        "RegisterDisposal!; Disposing -Start,Exception; Disposed -Start,Exception,Disposing"
    ),
}


@pytest.mark.parametrize("kind", READY)
def test_ready_made_states_are_those_of_the_reference(kind: type[States]) -> None:
    text = READY[kind] if kind is Basic else f"{READY[Basic]}; {READY[kind]}"
    assert str(kind.schema) == text
    assert [finding for finding in lint(kind) if finding.level == "warning"] == []


def test_ready_made_states_combine() -> None:
    class Client(Connected, Disposed):
        Working = state(auto=True, require=Connected.Connected)

    assert Client.names == (*Connected.names, *Disposed.names[len(Basic.names) :], "Working")


TYPED = """
    from dataclasses import dataclass
    from typing import overload
    from machine.schema.states import StateName, States, group, state, A

    @dataclass
    class Why:
        text: str

    class Door(States):
        Opened = state()
        Closed = state(args=Why, remove=[Opened])
        Phase = group(Opened, Closed)

    @overload
    def add(name: StateName[A], /, *, args: A) -> int: ...
    @overload
    def add(*names: str) -> int: ...
    def add(*names: str, args: object = None) -> int:
        return 1

    add(Door.Closed, args=Why("x"))
    add(Door.Opened, Door.Closed, *Door.Phase)
    name: str = Door.Opened
    {line}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "Success"),
        ("add(Door.Closed, args=3)", "add"),
        ("add(Door.Clsed)", 'has no attribute "Clsed"'),
        ("state(remov='A')", 'did you mean "remove"'),
        ("number: int = Door.Phase", "Incompatible types"),
    ],
)
def test_type_checkers_know_names_and_arguments(line: str, said: str, tmp_path: Path) -> None:
    source = tmp_path / "typed.py"
    source.write_text(textwrap.dedent(TYPED).format(line=line))
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in run.stdout, run.stdout
    assert (run.returncode == 0) == (not line), run.stdout
