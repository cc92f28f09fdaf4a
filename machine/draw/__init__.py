"""Pictures of states and their relations, and of where a machine is among them.

    from machine.draw import draw

    print(draw(DoorStates))                       # Mermaid, for Markdown
    Path("door.svg").write_text(draw(door, "svg"))  # a live machine: active states and their ticks

    Path("door.png").write_bytes(draw(door, "png"))  # needs the extra `png`

`f"{door:svg}"` is the same, and notebooks show machines and schemas as pictures by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, overload

from machine.draw._d2 import d2
from machine.draw._dot import dot
from machine.draw._mermaid import mermaid
from machine.draw._picture import Picture, picture_of
from machine.draw._png import png
from machine.draw._svg import svg
from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["FORMATS", "draw"]

_WRITERS: Mapping[str, Callable[[Picture], str]] = {
    "mermaid": mermaid,
    "dot": dot,
    "svg": svg,
    "d2": d2,
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
"""The formats that `draw` writes as text; it knows `png`, too."""

_KNOWN = (*FORMATS, "png")


@overload
def draw(
    what: object,
    format: Literal["png"],
    *,
    active: str | Iterable[str] | Mapping[str, int] | None = None,
    relations: str | Iterable[str] | None = None,
    title: str | None = None,
) -> bytes: ...
@overload
def draw(
    what: object,
    format: Literal["mermaid", "dot", "svg", "d2"] = "mermaid",
    *,
    active: str | Iterable[str] | Mapping[str, int] | None = None,
    relations: str | Iterable[str] | None = None,
    title: str | None = None,
) -> str: ...
@overload
def draw(
    what: object,
    format: str,
    *,
    active: str | Iterable[str] | Mapping[str, int] | None = None,
    relations: str | Iterable[str] | None = None,
    title: str | None = None,
) -> str | bytes: ...
def draw(
    what: object,
    format: str = "mermaid",  # noqa: A002 - the usual name
    *,
    active: str | Iterable[str] | Mapping[str, int] | None = None,
    relations: str | Iterable[str] | None = None,
    title: str | None = None,
) -> str | bytes:
    """A picture as text, or as the bytes of a PNG file.

    A required state stands on the left (or where the tool puts it). States that all exclude
    each other are framed once, and a relation to all states of a frame is one line to the frame. An
    Exception that nothing refers to is left out while it is not active. Equal things give equal
    text.

    Args:
        what: a live Machine, a Machine subclass, a Schema, a States class, a mapping, or a text in
            the short form.
        format: `mermaid`, `dot` (Graphviz), `svg` (complete: no tool is needed), `d2`,
            or `png` (needs the extra `png`).
        active: the states to show as active, or a clock of all ticks by state, odd ones active. By
            default those of a live machine, with their ticks; none for a schema.
        relations: the kinds to draw, of `require`, `add`, `remove` and `after`; all by default.
        title: a heading; by default the name of the class and the id that the machine was given.

    Raises:
        InvalidArgument: the format or a relation is unknown; a ValueError.
        UnknownState: `active` names a state that the schema has not.
        SchemaError: `what` is no valid schema.
        MissingExtra: the extra `png` is not installed.
    """
    writer = png if format == "png" else _WRITERS.get(format)
    if writer is None:
        raise InvalidArgument(
            f"unknown format {format!r}{did_you_mean(near_names(str(format), _KNOWN))}",
            argument="format",
            hint=f"The formats are {', '.join(_KNOWN)}.",
        )
    return writer(picture_of(what, active=active, relations=relations, title=title))
