"""Rooms of the packages, their order, and the imports between them, read from the source.

A room is a module or a sub-package directly below a package: `grid.client`,
`machine.errors`. A room may import rooms of lower floors, and of its own floor
as long as no circle comes of it. Every import counts: at the top of a file, inside
a function, and behind `TYPE_CHECKING`, because a reader has to follow them all.
"""

import ast
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "EXCEPTIONS",
    "FLOORS",
    "PACKAGES",
    "ROOT",
    "Import",
    "circles",
    "floor_of",
    "imports",
    "module_of",
    "nodes",
    "room_of",
    "sources",
]

ROOT = Path(__file__).parents[1]

# Each package with the packages that it may import.
PACKAGES: dict[str, frozenset[str]] = {
    "grid": frozenset(),
    "machine": frozenset(),
    "rpc": frozenset({"grid", "machine"}),
    "node": frozenset({"rpc", "grid", "machine"}),
}

# From the ground up. The last floor is the face (`import grid`) with the tools around it.
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "grid": (
        (
            "errors",
            "descriptor_pool",
            "numbers",
            "texts",
            "process",
            "signatures",
            "temporary",
            "wire_pb2",
            "trace_context",
        ),
        ("aio", "codec", "deadline", "forks", "grpc_calls", "plain", "stdout_reader", "timers"),
        ("exposers", "interceptors", "etcd", "tls"),
        ("environment", "embedded"),
        ("transport",),
        ("registry", "state", "stream"),
        ("mailbox",),
        ("handlers",),
        ("client",),
        ("actor",),
        ("sync",),
        ("server",),
        ("", "cli", "testing", "__main__"),
    ),
    "machine": (
        ("errors", "texts", "times", "lists", "plain", "compatibility"),
        ("schema",),
        ("rules", "waits"),
        ("core",),
        (
            "arguments",
            "breakpoints",
            "conditions",
            "draw",
            "fan_out",
            "history",
            "lint",
            "logs",
            "mirror",
            "pipes",
            "ready_made",
            "ready_made_handlers",
            "recording",
            "story",
            "telemetry",
        ),
        ("helpers",),
        ("", "cli", "testing", "__main__"),
    ),
    "rpc": (
        ("machine_pb2", "options_pb2", "psrpc_pb2", "service_pb2"),
        ("machines", "buses", "generator"),
        ("services", "sync"),
        ("cli",),
        ("",),
    ),
    "node": (
        ("pool_pb2", "errors", "events", "names", "settings", "texts"),
        ("conversions", "policy", "streams"),
        ("worker",),
        ("agent", "client", "supervisor"),
        ("cli", "offering"),
        ("",),
    ),
}

# An import that goes up, and the reason it is allowed.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("machine.schema.drawable", "machine.draw"): (
        "states and machines draw themselves (`states.svg()`); drawing is loaded at the first call"
    ),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target: a module, or a name in a module."""

    importer: str
    module: str
    name: str
    path: Path
    line: int

    @property
    def target(self) -> str:
        """The full dotted name."""
        return f"{self.module}.{self.name}" if self.name else self.module


def room_of(module: str) -> str:
    """The room of a module: `grid.client` for `grid.client.sender`, `grid` for the face."""
    return ".".join(module.split(".")[:2])


def floor_of(room: str) -> int | None:
    """The floor of a room, counted from 0; None for a room that `FLOORS` does not have."""
    package, _, short = room.partition(".")
    for floor, rooms in enumerate(FLOORS.get(package, ())):
        if short in rooms:
            return floor
    return None


def sources(*folders: str, generated: bool = False) -> Iterator[Path]:
    """Python files below folders of the repository, generated code left out."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if generated or not _is_generated(path):
                yield path


def _is_generated(path: Path) -> bool:
    if path.stem.endswith("_grid"):  # beside the messages of the same file
        return path.with_name(f"{path.stem.removesuffix('_grid')}_pb2.py").exists()
    return path.stem.endswith(("_pb2", "_pb2_grpc"))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))


@functools.cache
def imports(package: str) -> tuple[Import, ...]:
    """All imports in a package of modules and names of the four packages."""
    modules = _modules()
    found: list[Import] = []
    for path in sources(package):
        importer = module_of(path)
        for node in nodes(path):
            for module, name in _targets(node, importer, is_package=path.stem == "__init__"):
                if module.partition(".")[0] not in PACKAGES:
                    continue
                whole = f"{module}.{name}"
                if name and whole in modules:
                    module, name = whole, ""
                found.append(Import(importer, module, name, path, getattr(node, "lineno", 0)))
    return tuple(found)


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, each sorted; empty if there is no circle."""
    reach: dict[str, set[str]] = defaultdict(set)
    for start, end in edges:
        reach[start].add(end)
    nodes = sorted({*reach, *(end for ends in reach.values() for end in ends)})
    for middle in nodes:  # the transitive closure; a house has some dozens of rooms
        for node in nodes:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    groups = {tuple(n for n in nodes if n in reach[node] and node in reach[n]) for node in nodes}
    return sorted(list(group) for group in groups if len(group) > 1)


def _targets(node: ast.AST, importer: str, *, is_package: bool) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ""
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = importer.split(".")
            parts = parts[: len(parts) - node.level + is_package]
            base = ".".join([*parts, base]) if base else ".".join(parts)
        for alias in node.names:
            yield base, alias.name
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant):
                yield str(argument.value), ""


def module_of(path: Path) -> str:
    """The dotted name of a file of the repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources(*PACKAGES, generated=True))
