"""Notes of errors: the place and the causes of an error, added to it as a courtesy."""

from __future__ import annotations

import contextlib

__all__ = ["annotate"]

_MAX_NOTES = 16  # of one error, which may be raised again and again


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an error, unless it has that note, many notes, or takes none.

    A frozen error takes none. It is reported all the same.
    """
    with contextlib.suppress(Exception):
        notes = getattr(error, "__notes__", ())
        if len(notes) < _MAX_NOTES and note not in notes:
            error.add_note(note)
