"""The folder for temporary files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["temporary_folder"]


def temporary_folder() -> Path:
    """The folder that `tempfile.gettempdir()` finds, found without writing a file.

    `gettempdir` tries each folder out with a file, which a process that is killed at that moment
    leaves; processes of workers begin with this, and some are killed as they begin.
    """
    if tempfile.tempdir is None:
        named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
        for folder in (*named, "/tmp", "/var/tmp"):  # noqa: S108 - those of `tempfile`
            if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):  # noqa: PTH112
                return Path(folder).absolute()
    return Path(tempfile.gettempdir())
