"""Pictures as PNG: the SVG, rendered by resvg.

resvg needs no system library, and knows no generic families of fonts: it leaves out a text
whose families are all missing. So common families are added to those of the SVG, and a probe
tells whether any of them is there.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from machine.draw._picture import Picture
from machine.draw._svg import svg
from machine.errors import MachineError, MissingExtra

__all__ = ["png"]

_SCALE = 2.0  # pixels for each unit of the SVG, so that small text stays sharp
_SANS = 'Arial,"DejaVu Sans","Liberation Sans","Noto Sans",Roboto,Ubuntu,Cantarell'
_MONO = '"DejaVu Sans Mono","Liberation Mono","Noto Sans Mono","Courier New"'
_PROBE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">'
    "<text y=\"15\" font-family='{family}'>{text}</text></svg>"
)


def png(picture: Picture) -> bytes:
    """The bytes of a PNG file, in the light colours.

    Raises:
        MissingExtra: the extra `png` is not installed.
        MachineError: no font is installed, so that all texts would be missing.
    """
    render = _renderer()
    for family in (_SANS, _MONO):
        if not _is_legible(family):
            raise MachineError(
                "a PNG needs a font for its texts, and none of the usual ones is installed",
                hint="Install one, like the package fonts-dejavu-core, or draw an SVG.",
            )
    text = svg(picture)
    text = text.replace("Arial,sans-serif", f"{_SANS},sans-serif")
    text = text.replace('"DejaVu Sans Mono",monospace', f"{_MONO},monospace")
    done: bytes = render.svg_to_bytes(svg_string=text, zoom=_SCALE)
    return done


def _renderer() -> ModuleType:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtra("resvg-py", "png", "pictures as PNG") from error
    return resvg_py


@cache
def _is_legible(family: str) -> bool:
    blank, text = (
        _renderer().svg_to_bytes(svg_string=_PROBE.format(family=family, text=text))
        for text in ("", "A")
    )
    return bool(blank != text)
