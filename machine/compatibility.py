"""Former module names of pickled classes.

A pickle has the module and the name of each class. Values that were pickled before the
modules moved into rooms name `machine.kinds` and the like, so these names stay known to the
import system: as modules without a file, each of which looks an attribute up in the module
that has it now, and imports that one only then.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["register"]

_MOVED = {
    "_deeds": "core.story",
    "_life": "core.snapshot",
    "_lint_rules": "lint.rules",
    "_pipe_hub": "pipes.hub",
    "_recorded": "recording.format",
    "_records": "history.records",
    "_replay": "recording.replay",
    "_sites": "core.call_sites",
    "_state": "schema.state",
    "_steps": "rules.steps",
    "handlers": "core.handlers",
    "kinds": "rules.kinds",
    "machine": "core.machine",
    "mutation": "core.mutation",
    "options": "core.options",
    "result": "waits.result",
}
_RENAMED = {"Site": "CallSite", "Deed": "StoryEntry"}


class _Moved(ModuleType):
    """A module that has moved."""

    def __init__(self, name: str, home: str) -> None:
        super().__init__(name, f"Moved to {home}; its old name is for pickles.")
        self._home = home

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self._home), _RENAMED.get(name, name))


def register() -> None:
    """Make the former names known to the import system."""
    for old, new in _MOVED.items():
        name = f"machine.{old}"
        sys.modules.setdefault(name, _Moved(name, f"machine.{new}"))
