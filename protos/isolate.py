"""Point generated modules at the grid's own descriptor pool: `isolate.py FILE...`.

The reason is in `grid/descriptor_pool.py`. A file in which nothing is to be replaced was made
by another generator than the one that is pinned; that is an error.
"""

import sys
from pathlib import Path

REPLACED = {
    "from google.protobuf import descriptor_pool as _descriptor_pool\n": (
        "from grid import descriptor_pool as _descriptor_pool\n"
    ),
    "from google.protobuf.internal import builder as _builder\n": (
        "from grid import descriptor_pool as _builder\n"
    ),
}

for name in sys.argv[1:]:
    path = Path(name)
    code = path.read_text()
    for before, after in REPLACED.items():
        if code.count(before) != 1:
            sys.exit(f"{path}: not the generated code that is expected: no line {before.strip()!r}")
        code = code.replace(before, after)
    path.write_text(code)
