"""Promises of the manual about itself."""

import re
from pathlib import Path

MANUAL = Path(__file__).parents[2] / "docs" / "machine.md"


def test_the_second_example_is_short() -> None:
    """Five states, an async handler, a timeout and three tries, in 25 lines at most."""
    blocks = re.findall(
        r"```python\n(# file: .*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL
    )
    (upload,) = [block for block in blocks if block.startswith("# file: upload.py")]
    lines = upload.splitlines()[1:]  # without the name of the file, which is for this suite
    assert len(lines) <= 25
    assert "timeout=" in upload
    assert "retry=3" in upload
    assert "async def" in upload
