"""Building the Go driver, with and without pinned map iterations, and running it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["Driver", "build"]

MODULE = "github.com/pancsta/asyncmachine-go"
VERSION = "v0.19.1"
HERE = Path(__file__).parent
GO_MOD = f"module recording\n\ngo 1.25\n\nrequire {MODULE} {VERSION}\n"

# The two loops over Go maps, whose order is random, and what makes them repeatable: candidates
# for the auto mutation in the order of the names, roots of the Require topology alphabetically.
RELATIONS = Path("pkg/machine/relations.go")
PINS = (
    ("for s := range m.schema {", "for _, s := range m.stateNames {"),
    (
        "for node := range g.vertices {",
        "for _, node := range slices.Sorted(maps.Keys(g.vertices)) {",
    ),
    ('import (\n\t"fmt"\n', 'import (\n\t"fmt"\n\t"maps"\n'),
)


class Driver:
    """A built driver."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, scenarios: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
        """Results of the Go implementation, scenario by scenario."""
        lines = "".join(json.dumps(scenario) + "\n" for scenario in scenarios)
        done = subprocess.run([self.path], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


def _go(folder: Path, *arguments: str) -> str:
    # The module may name a newer toolchain than the one that is installed.
    env = {"GOFLAGS": "-mod=mod", **os.environ}
    done = subprocess.run(
        ["go", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _pinned_copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    text = (target / RELATIONS).read_text()
    for old, new in PINS:
        if text.count(old) != 1:
            raise RuntimeError(f"{RELATIONS} has no single {old!r}: is it another version?")
        text = text.replace(old, new)
    (target / RELATIONS).write_text(text)


def build(folder: Path) -> tuple[Driver, Driver]:
    """Build in a folder: the driver with pinned iterations, and the plain one."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in HERE.glob("*.go"):
        shutil.copy(source, folder)
    (folder / "go.mod").write_text(GO_MOD)
    _go(folder, "mod", "download", MODULE)
    _go(folder, "build", "-o", "plain", ".")
    module = Path(_go(folder, "list", "-m", "-f", "{{.Dir}}", MODULE))
    _pinned_copy(module, folder / "pinned-module")
    (folder / "pinned.mod").write_text((folder / "go.mod").read_text())
    shutil.copy(folder / "go.sum", folder / "pinned.sum")
    _go(folder, "mod", "edit", f"-replace={MODULE}=./pinned-module", "pinned.mod")
    _go(folder, "build", "-modfile=pinned.mod", "-o", "pinned", ".")
    return Driver(folder / "pinned"), Driver(folder / "plain")
