"""Counting: the tokens of one file, and the sum over many."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from examples.corpus_pb2 import Counts

__all__ = ["Tally", "count"]

# Bytes, so that a file in any encoding, or in none, has tokens. The group is a name.
_TOKEN = re.compile(
    rb"""
    [rRbBuUfF]{0,2} (?: '''(?:[^\\]|\\.)*?''' | \"\"\"(?:[^\\]|\\.)*?\"\"\"
                      | '(?:[^'\\\n]|\\.)*'   | "(?:[^"\\\n]|\\.)*" )
    | \#[^\n]*
    | ( [A-Za-z_\x80-\xff] [\w\x80-\xff]* )
    | \d [\w.]*
    | [^\s\w]
    """,
    re.DOTALL | re.VERBOSE,
)


def count(text: bytes, worker: str = "") -> Counts:
    """The lines, tokens and names of a Python source, in the worker's name."""
    tokens = _TOKEN.findall(text)
    names: Counter[str] = Counter()
    for name, times in Counter(tokens).items():
        if name:
            # Names that are no UTF-8 may become equal.
            names[name.decode(errors="replace")] += times
    return Counts(lines=len(text.splitlines()), tokens=len(tokens), names=names, worker=worker)


@dataclass(slots=True)
class Tally:
    """The sum over files, each of which is counted at most once."""

    files: set[Path] = field(default_factory=set)
    lines: int = 0
    tokens: int = 0
    names: Counter[str] = field(default_factory=Counter)
    workers: Counter[str] = field(default_factory=Counter)

    def add(self, file: Path, counts: Counts) -> None:
        """Take in what a worker counted. Raises ValueError for a second count of a file."""
        if file in self.files:
            raise ValueError(f"{file} was counted twice")
        self.files.add(file)
        self.lines += counts.lines
        self.tokens += counts.tokens
        self.names.update(counts.names)
        self.workers[counts.worker] += 1

    def agrees_with(self, other: Tally) -> bool:
        """True if the same files gave the same sums, whoever counted them."""
        return (self.files, self.lines, self.tokens, self.names) == (
            other.files,
            other.lines,
            other.tokens,
            other.names,
        )
