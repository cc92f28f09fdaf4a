"""Public types are complete: pyright knows them without inferring any.

mypy is run by `make type`, and on the code of the pages by `tests/test_docs.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NODE = shutil.which("node")
FLOOR = 1.0  # of the public symbols


@pytest.mark.skipif(NODE is None, reason="*** the completeness of types is untested: no node")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", ["grid", "machine"])
def test_each_public_type_is_known(package: str, tmp_path: Path) -> None:
    import pyright  # type: ignore[import-untyped, unused-ignore]

    program = Path(pyright.__file__).parent / "dist" / "index.js"
    if not program.exists():
        pytest.skip("*** the completeness of types is untested: this pyright downloads")
    checked = subprocess.run(
        [str(NODE), program, "--ignoreexternal", "--outputjson", "--verifytypes", package],
        cwd=tmp_path,  # a checkout is not what its user has
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(checked.stdout)["typeCompleteness"]
    unknown = [
        f"{one['name']}: {said['message']}"
        for one in report["symbols"]
        if one["isExported"] and not one["isTypeKnown"]
        for said in one["diagnostics"]
    ]
    assert report["completenessScore"] >= FLOOR, "\n".join(unknown)
    assert report["exportedSymbolCounts"]["withKnownType"] > 1000
