"""The house holds: rooms and their order, privacy, pure modules, small files, plain sentences.

`docs/rooms.py` has the rooms and their order.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from docs.rooms import (
    EXCEPTIONS,
    FLOORS,
    PACKAGES,
    ROOT,
    Import,
    circles,
    floor_of,
    imports,
    module_of,
    nodes,
    room_of,
    sources,
)

EVERYWHERE = (*PACKAGES, "tests", "bench", "examples", "docs")
LONGEST_FILE = 400

# Plain objects that take events and return decisions: time, chance and I/O are their callers'.
PURE = (
    "grid/client/placement.py",
    "grid/errors/_*.py",
    "grid/etcd/_failures.py",
    "grid/etcd/_model.py",
    "grid/etcd/_rotation.py",
    "grid/etcd/_view.py",
    "grid/registry/keeping.py",
    "grid/registry/ledger.py",
    "grid/registry/names.py",
    "grid/registry/registration.py",
    "grid/registry/reminders.py",
    "grid/registry/ring.py",
    "grid/registry/view.py",
    "grid/transport/_events.py",
    "grid/transport/_flow.py",
    "grid/transport/_inbox.py",
    "grid/transport/_large.py",
    "grid/transport/_liveness.py",
    "grid/transport/_outbox.py",
    "grid/transport/_packing.py",
    "grid/transport/_pool_policy.py",
    "grid/transport/_routes.py",
    "grid/transport/_streams.py",
    "grid/transport/_tells.py",
    "grid/transport/_unsent.py",
    "grid/transport/breaker.py",
    "grid/transport/budget.py",
    "grid/transport/deadlines.py",
    "grid/transport/error_class.py",
    "grid/transport/exchanges.py",
    "grid/transport/failures.py",
    "grid/transport/protocol.py",
    "grid/transport/settings.py",
    "grid/transport/statistics.py",
    "machine/draw/*.py",
    "machine/lint/*.py",
    "machine/lists.py",
    "machine/rules/*.py",
    "machine/schema/*.py",
    "node/policy/*.py",
    "node/settings.py",
    "rpc/machines/backoff.py",
    "rpc/machines/calls.py",
    "rpc/machines/clock.py",
    "rpc/machines/feed.py",
    "rpc/machines/messages.py",
    "rpc/machines/mirror.py",
    "rpc/machines/payloads.py",
    "rpc/machines/values.py",
    "rpc/buses/members.py",
    "rpc/generator/emit.py",
    "rpc/generator/model.py",
    "rpc/generator/names.py",
    "rpc/generator/reading.py",
    "rpc/generator/text.py",
    "rpc/services/codes.py",
    "rpc/services/errors.py",
    "rpc/services/failures.py",
    "rpc/services/selection.py",
    "rpc/services/specification.py",
)
IMPURE = frozenset(
    {"asyncio", "datetime", "grpc", "os", "random", "secrets", "socket", "subprocess", "threading"}
    | {"time", "uuid"}
)
IMPURE_MODULES = frozenset({"grid.aio", "grid.deadline", "grid.environment", "grid.process"})

QUESTION = re.compile(r"(What|Who|Whom|Whose|How|Which)\b")
ABSENT_DOCUMENT = re.compile(r"\b[Rr]eference \d|\bDESIGN\b|\b[Ii]ssues? #?\d|\breference/\w")
DOCUMENT = re.compile(r"(?<![\w/.:-])(?:[\w-]+/)*[\w-]+\.md\b")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Names by which a machine or a transition is known, and those of an object's own attributes.
MACHINES = frozenset({"machine", "_machine", "transition", "_transition", "tx", "mutation"})
OWN = frozenset({"self", "cls", "super"})


def imports_go_down() -> Iterator[str]:
    """Imports of rooms on the same or a lower floor, and of packages that are below."""
    for one in _between_rooms():
        here, there = room_of(one.importer), room_of(one.module)
        if (one.importer, there) in EXCEPTIONS:
            continue
        package, other = here.partition(".")[0], there.partition(".")[0]
        if package != other:
            if other not in PACKAGES[package]:
                yield f"{here} -> {there}"
            continue
        low, high = floor_of(there), floor_of(here)
        if low is not None and high is not None and low > high:
            yield f"{here} -> {there}"


def rooms_have_a_floor() -> Iterator[str]:
    for package in PACKAGES:
        for path in sources(package):
            if floor_of(_room(path)) is None:
                yield f"{_room(path)}: add it to FLOORS in docs/rooms.py"


def rooms_have_no_circle() -> Iterator[str]:
    edges = {
        (room_of(one.importer), room_of(one.module))
        for one in _between_rooms()
        if (one.importer, room_of(one.module)) not in EXCEPTIONS
    }
    for circle in circles(edges):
        yield from (f"{a} -> {b}" for a, b in edges if a in circle and b in circle)


def modules_of_a_room_have_no_circle() -> Iterator[str]:
    edges: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for package in PACKAGES:
        for one in imports(package):
            if room_of(one.importer) == room_of(one.module) and one.importer != one.module:
                edges[room_of(one.importer)].add((one.importer, one.module))
    for inside in edges.values():
        for circle in circles(inside):
            yield from (f"{a} -> {b}" for a, b in inside if a in circle and b in circle)


def private_names_stay_in_their_room() -> Iterator[str]:
    """Tests, benchmarks and examples, too: a room's tests alone see its inside."""
    for folder in (*PACKAGES, "tests", "bench", "examples"):
        for one in imports(folder):
            home = room_of(one.importer.removeprefix("tests."))
            if home != room_of(one.module) and any(map(_is_private, one.target.split("."))):
                yield f"{one.importer} -> {one.target}"


def private_modules_have_a_room() -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).iterdir():
            if _is_private(path.stem):
                yield _shown(path)


def machines_keep_their_attributes() -> Iterator[str]:
    """Private attributes of machines and transitions are of `machine.core` alone.

    Rooms below the core do not know machines: they name what they need in a Protocol.
    """
    rooms: dict[str, list[Path]] = defaultdict(list)
    for path in sources("machine"):
        rooms[_room(path)].append(path)
    core = _attributes(rooms["machine.core"])
    floor = floor_of("machine.core")
    for room, paths in rooms.items():
        if (floor_of(room) or 0) <= (floor or 0):
            continue
        own = _attributes(paths)
        for path in paths:
            for node in nodes(path):
                if not isinstance(node, ast.Attribute) or node.attr not in core:
                    continue
                owner = _last_name(node.value)
                if owner in MACHINES or (node.attr not in own and owner not in OWN):
                    yield f"{_shown(path)} {owner}.{node.attr}"


def pure_modules_have_no_clock_or_chance() -> Iterator[str]:
    for pattern in PURE:
        paths = list(ROOT.glob(pattern))
        if not paths:
            yield f"{pattern} is not there"
        for path in paths:
            yield from (f"{_shown(path)} imports {name}" for name in _top_level(path) & IMPURE)
    pure = {path for pattern in PURE for path in ROOT.glob(pattern)}
    for package in PACKAGES:
        for one in imports(package):
            if one.path in pure and one.module in IMPURE_MODULES:
                yield f"{_shown(one.path)} imports {one.module}"


def files_are_small() -> Iterator[str]:
    for path in sources(*EVERYWHERE):
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE:
            yield _shown(path)


def docstrings_begin_with_a_noun_or_a_verb() -> Iterator[str]:
    for path in sources(*EVERYWHERE):
        for node in nodes(path):
            if isinstance(node, DOCUMENTED) and QUESTION.match(ast.get_docstring(node) or ""):
                yield f"{_shown(path)} {getattr(node, 'name', 'module')}"


def documents_that_are_named_exist() -> Iterator[str]:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("C*.md")]
    for path in [*sources(*EVERYWHERE), *pages]:
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        yield from (f"{_shown(path)} {one[0]}" for one in ABSENT_DOCUMENT.finditer(text))
        for name in DOCUMENT.findall(text):
            if not any((folder / name).exists() for folder in (ROOT, ROOT / "docs", path.parent)):
                yield f"{_shown(path)} {name}"


RULES: tuple[Callable[[], Iterable[str]], ...] = (
    imports_go_down,
    rooms_have_a_floor,
    rooms_have_no_circle,
    modules_of_a_room_have_no_circle,
    private_names_stay_in_their_room,
    private_modules_have_a_room,
    machines_keep_their_attributes,
    pure_modules_have_no_clock_or_chance,
    files_are_small,
    docstrings_begin_with_a_noun_or_a_verb,
    documents_that_are_named_exist,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house(rule: Callable[[], Iterable[str]]) -> None:
    found = sorted(set(rule()))
    assert not found, "\n".join(found)


def test_each_exception_is_used() -> None:
    used = {(one.importer, room_of(one.module)) for one in _between_rooms()}
    assert set(EXCEPTIONS) <= used


def test_each_room_has_one_floor() -> None:
    for package, floors in FLOORS.items():
        named = [room for floor in floors for room in floor if room]
        assert len(named) == len(set(named))
        for room in named:
            home = ROOT / package / room
            assert home.is_dir() or home.with_suffix(".py").exists(), f"{package}.{room}"


def test_circles_are_found() -> None:
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [["a", "b", "c"]]
    assert not circles([("a", "b"), ("b", "c"), ("a", "c")])


def test_the_machine_needs_the_standard_library_only() -> None:
    allowed = {"machine", *sys.stdlib_module_names}
    # Imported when they are asked for, or for types alone.
    extras = {"opentelemetry", "prometheus_client", "resvg_py", "typing_extensions", "yaml"}
    for path in (ROOT / "machine").rglob("*.py"):
        assert _top_level(path) - extras <= allowed
    loaded = f"import sys, machine; assert not {extras} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["grid", "grid.etcd"])
def test_a_face_has_all_that_it_names(name: str) -> None:
    module = importlib.import_module(name)
    for one in module.__all__:
        assert getattr(module, one) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_importing_the_face_loads_no_grpc() -> None:
    # The command sets gRPC up before it is loaded, and has to start fast.
    script = "import grid, grid.etcd, grid.cli, sys; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_each_package_is_typed() -> None:
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()


def _room(path: Path) -> str:
    return room_of(module_of(path))


def _between_rooms() -> Iterator[Import]:
    for package in PACKAGES:
        for one in imports(package):
            if room_of(one.importer) != room_of(one.module):
                yield one


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _last_name(node: ast.expr) -> str:
    """`machine` for `machine`, `self.machine` and `machine()`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last_name(function)
    return "(...)"


def _attributes(paths: Iterable[Path]) -> set[str]:
    """Private attributes that the classes of these files define or set on themselves."""
    found: set[str] = set()
    for path in paths:
        for node in nodes(path):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.ClassDef():
                    found.update(_class_names(node))
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                    found.add(name)
    return {name for name in found if _is_private(name)}


def _class_names(node: ast.ClassDef) -> Iterator[str]:
    for one in node.body:
        match one:
            case ast.AnnAssign(target=ast.Name(id="__slots__"), value=ast.Tuple(elts=names)):
                yield from (str(name.value) for name in names if isinstance(name, ast.Constant))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=names)):
                yield from (str(name.value) for name in names if isinstance(name, ast.Constant))
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def _top_level(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
