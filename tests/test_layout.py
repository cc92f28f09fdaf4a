"""Imports point one way, files stay small, and the packages' faces are complete."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("grid", "machine", "rpc", "node")
ALLOWED = {
    "grid": {"grid"},
    "machine": {"machine"},
    "rpc": {"rpc", "grid", "machine"},
    "node": {"node", "rpc", "grid", "machine"},
}
SOURCES = [
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not path.stem.endswith("_pb2")
]


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert imported(path) & set(PACKAGES) <= ALLOWED[package]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_have_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_the_machine_needs_the_standard_library_only() -> None:
    allowed = {"machine", *sys.stdlib_module_names}
    extras = {"opentelemetry", "prometheus_client", "yaml"}  # imported when they are asked for
    for path in (ROOT / "machine").rglob("*.py"):
        assert imported(path) - extras <= allowed
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
