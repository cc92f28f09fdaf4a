"""Decisions about pools as pure objects: events in, instructions out."""
