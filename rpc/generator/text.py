"""Small pieces of Python source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["called", "docstring", "indented", "parameters"]

_WIDTH = 84  # of a line in a class, so that it is 88 at most in the file


def docstring(text: str) -> str:
    """A text as a docstring, of one line or of several."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if escaped.endswith('"'):
        escaped = escaped[:-1] + '\\"'
    return f'"""{escaped}\n"""' if "\n" in escaped else f'"""{escaped}"""'


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Lines one level deeper; a text of several lines is taken apart."""
    for text in lines:
        for line in text.split("\n"):
            yield f"    {line}" if line else ""


def parameters(head: str, names: Sequence[str], result: str) -> Iterator[str]:
    """The head of a function, one parameter a line."""
    yield f"{head}("
    for name in names:
        yield f"    {name},"
    if len(result) <= _WIDTH - 8:
        yield f") -> {result}:"
        return
    # One level of brackets a line, from the outermost in.
    depth = 0
    line = ") -> "
    for part in re.split(r"(?<=\[)|(?=\])|(?<=, )", result):
        if part.startswith("]"):
            depth -= 1
            yield line.rstrip()
            line = "    " * depth
        line += part
        if part.endswith("["):
            depth += 1
            yield line
            line = "    " * depth
        elif part.endswith(", "):
            yield line.rstrip()
            line = "    " * depth
    yield f"{line}:"


def called(head: str, arguments: Sequence[str]) -> Iterator[str]:
    """A call, on one line if it is short enough."""
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= _WIDTH:
        yield line
        return
    margin = head[: len(head) - len(head.lstrip())]
    yield f"{head}("
    for argument in arguments:
        yield f"{margin}    {argument},"
    yield f"{margin})"
