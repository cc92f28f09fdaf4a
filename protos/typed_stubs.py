"""Complete the types of generated stubs: `typed_stubs.py FILE...`.

The generator leaves the parameters of mappings open, which strict type checkers do not know then.
"""

import sys
from pathlib import Path

OPEN, COMPLETE = "_Mapping]", "_Mapping[str, _Any]]"
IMPORT = "from typing import "

for name in sys.argv[1:]:
    path = Path(name)
    code = path.read_text()
    if OPEN in code:
        if code.count(IMPORT) != 1:
            sys.exit(f"{path}: not the generated code that is expected: no line {IMPORT!r}")
        path.write_text(code.replace(IMPORT, f"{IMPORT}Any as _Any, ").replace(OPEN, COMPLETE))
