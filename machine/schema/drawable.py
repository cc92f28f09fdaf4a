"""Machines and schemas as pictures, in f-strings and notebooks; drawing is loaded when needed."""

from __future__ import annotations

from machine.errors import InvalidArgument

__all__ = ["Pictures"]

_MOST = 300  # states in a picture that a notebook shows by itself


class Pictures:
    """The part of a machine, and of a schema, that shows it."""

    __slots__ = ()

    def __format__(self, format_spec: str) -> str:
        """`f"{it}"` is its text, `f"{it:svg}"` a picture of it; or mermaid, dot, d2.

        Raises:
            InvalidArgument: the format is unknown; a ValueError that names the formats.
        """
        if not format_spec:
            return str(self)
        from machine.draw import FORMATS, draw

        if format_spec == "png":
            raise InvalidArgument(
                "a PNG is no text",
                argument="format_spec",
                hint=f"The formats of text are {', '.join(FORMATS)}; "
                'draw(it, "png") of machine.draw gives the bytes.',
            )
        text = draw(self, format_spec)
        return str(text)

    def _repr_svg_(self) -> str:
        return format(self, "svg")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """The forms for a notebook: text, and a picture unless there are too many states."""
        bundle = {"text/plain": repr(self)}
        if len(getattr(self, "names", ())) <= _MOST:
            bundle["image/svg+xml"] = self._repr_svg_()
        return bundle
