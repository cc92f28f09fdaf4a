"""Pictures: files to begin with, and their thumbnails."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

try:
    from PIL import Image, ImageFilter, ImageOps
except ImportError as error:  # pragma: no cover - it is installed where this is tested
    raise ImportError(
        'this example needs Pillow: pip install "actor-grid[examples]"', name="PIL"
    ) from error

__all__ = ["THUMBNAIL", "make", "small"]

THUMBNAIL = (160, 120)
_SIZE = (1024, 768)
_KINDS = 6  # pictures that differ by more than their colours
_ITERATIONS = 60
_THREADS = 2  # Pillow computes without Python's lock


def make(folder: Path, count: int) -> list[Path]:
    """Write pictures into a folder, JPEG and PNG; the files in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as threads:
        shapes = list(threads.map(_shape, range(min(_KINDS, count))))

        def write(number: int) -> Path:
            picture = _coloured(shapes[number % len(shapes)], number)
            file = folder / f"picture-{number:04}.{'png' if number % 8 == 0 else 'jpg'}"
            picture.save(file, compress_level=1, quality=85)
            return file

        return list(threads.map(write, range(count)))


def small(picture: bytes) -> bytes:
    """The thumbnail of a picture in any format, as a JPEG."""
    with Image.open(io.BytesIO(picture)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    fitted = ImageOps.fit(upright, THUMBNAIL, Image.Resampling.LANCZOS)
    sharp = fitted.filter(ImageFilter.UnsharpMask(radius=1, percent=80))
    output = io.BytesIO()
    sharp.save(output, "JPEG", quality=85)
    return output.getvalue()


def _shape(number: int) -> Image.Image:
    """A part of the Mandelbrot set, each time a smaller one."""
    near = 1.5 * 0.5**number
    extent = (-0.745 - near, 0.113 - 0.75 * near, -0.745 + near, 0.113 + 0.75 * near)
    return Image.effect_mandelbrot(_SIZE, extent, _ITERATIONS)


def _coloured(shape: Image.Image, number: int) -> Image.Image:
    hue = (number * 47) % 256
    dark, light = _rgb(hue, 90), _rgb((hue + 110) % 256, 255)
    return ImageOps.colorize(shape, dark, light)


def _rgb(hue: int, value: int) -> tuple[int, int, int]:
    red, green, blue = Image.new("HSV", (1, 1), (hue, 200, value)).convert("RGB").tobytes()
    return red, green, blue
