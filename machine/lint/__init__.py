"""Lint of schemas: relations that are valid and mislead.

A schema that cannot work at all is a SchemaError when it is made. A relation found here works, but
probably not as its author meant it; each finding says why, and gives the relation to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from machine.core.machine import Machine, schema_of
from machine.core.starting import beginning
from machine.lint.handlers import handler_findings
from machine.lint.rules import RULES, Finding
from machine.rules.resolution import relations_of
from machine.schema.schema import as_schema

__all__ = ["Finding", "lint"]


def lint(schema: object, *, ignore: Iterable[str] = ()) -> list[Finding]:
    """The findings for a Schema, a States class, a mapping or a text in the short form.

    Of a class of machines also those for its handlers. Warnings first, in the order of the rules.
    `ignore` has codes, or `code:State`, to leave out. An Add that overrules a Remove is only known
    for a schema that was declared, not for one loaded from data, because data has normalised
    states. Raises SchemaError when there is no valid schema, or when
    its initial states cannot be active together.
    """
    kind = schema if isinstance(schema, type) and issubclass(schema, Machine) else None
    checked = as_schema(schema) if kind is None else schema_of(kind)
    left_out = frozenset([ignore] if isinstance(ignore, str) else ignore)
    beginning(relations_of(checked))
    found = [finding for rule in RULES for finding in rule(checked)]
    if kind is not None:
        found += handler_findings(kind)
    found = [
        finding
        for finding in found
        if finding.code not in left_out and f"{finding.code}:{finding.state}" not in left_out
    ]
    return sorted(found, key=lambda finding: finding.level != "warning")
