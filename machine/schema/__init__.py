"""Schemas: states, their relations, and how they are written."""

from __future__ import annotations

from machine.schema.schema import EXCEPTION, RELATIONS, Names, Relation, Schema, State, as_schema
from machine.schema.schema import _rebuild as _rebuild  # for pickles of when this was a module

__all__ = ["EXCEPTION", "RELATIONS", "Names", "Relation", "Schema", "State", "as_schema"]
