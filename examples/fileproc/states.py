"""States of a file, and of all files together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from machine import EXCEPTION, States, group, state

__all__ = ["BatchStates", "Body", "FileStates", "Pause", "Receipt"]


@dataclass(frozen=True, slots=True)
class Body:
    """Result of a step: a local file and its size."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Receipt of the server for what it got."""

    digest: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause after a failed step."""

    seconds: float


class FileStates(States):
    """Download, process, upload: each step begins by itself when the one before it is done.

    A step is active while it works, and its result (`Downloaded`...) blocks it from then on. That
    is also all that a retry needs: `BackingOff` ends and blocks the steps that use the network,
    and when it ends itself, the step without a result begins again.
    """

    ErrNetwork = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """The error may pass."""

    Start = state()
    """Without it no step works: who removes it ends them."""

    Downloading = state(auto=True, require=Start, remove="Downloaded")
    Downloaded = state(remove=Downloading, args=Body)
    Processing = state(auto=True, require=[Start, Downloaded], remove="Processed")
    Processed = state(require=Downloaded, remove=Processing, args=Body)
    Uploading = state(auto=True, require=[Start, Processed], remove="Uploaded")
    Uploaded = state(require=Processed, remove=[Uploading, Start], args=Receipt)

    BackingOff = state(
        require=Start, remove=[EXCEPTION, ErrNetwork, Downloading, Uploading], args=Pause
    )
    Failed = state(remove=Start)
    Canceled = state(remove=Start)

    Network = group(Downloading, Uploading)
    Working = group(Downloading, Processing, Uploading, BackingOff)
    Ended = group(Uploaded, Failed, Canceled)


class BatchStates(States):
    """All files together."""

    Start = state()
    FileEnded = state(multi=True)
    """Comes again for each file that has ended, whichever way."""
    Finished = state(auto=True, require=FileEnded)
    """All files have ended."""
    Canceled = state()
