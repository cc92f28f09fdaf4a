"""Finds relations that a schema may have and that do not do what they seem to say.

What cannot work at all is a SchemaError when the schema is made. What is found here works, but
probably otherwise than its author thinks; each finding says why, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from machine.lint.rules import RULES, Finding
from machine.schema.schema import as_schema

__all__ = ["Finding", "lint"]


def lint(schema: object, *, ignore: Iterable[str] = ()) -> list[Finding]:
    """The findings for a Schema, a States class, a mapping or a text in the short form.

    Warnings first, in the order of the rules. `ignore` has codes, or `code:State`, to leave out. An
    Add that overrules a Remove is only known for a schema that was declared, not for one loaded
    from data, because data has normalised states. Raises SchemaError when there is no valid schema.
    """
    checked = as_schema(schema)
    left_out = frozenset([ignore] if isinstance(ignore, str) else ignore)
    found = [
        finding
        for rule in RULES
        for finding in rule(checked)
        if finding.code not in left_out and f"{finding.code}:{finding.state}" not in left_out
    ]
    return sorted(found, key=lambda finding: finding.level != "warning")
