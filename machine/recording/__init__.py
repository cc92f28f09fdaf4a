"""Record the mutations of a machine and their outcomes; replay and compare them.

    door.bind_tracer(Recorder("door.jsonl"))
    ...
    replay("door.jsonl", handlers=Handlers())       # raises ReplayDiffers at the first difference

A recording is a file of JSON lines: a header with the schema and the state at
the beginning, each mutation that came from outside (not from handlers and not
of Auto states), and the outcome of each transition. A replay makes the same
mutations in the same order of the queue, also if they came from several
threads, so it shows whether a change of the handlers or of the relations
changes the behaviour of a machine.

Async handlers are not run in a replay: the mutations of their tasks came from
outside and are in the recording.
"""

from __future__ import annotations

from machine.recording.format import RecordedError
from machine.recording.recorder import Recorder
from machine.recording.replay import ReplayDiffers, Report, replay, replay_file

__all__ = ["RecordedError", "Recorder", "ReplayDiffers", "Report", "replay", "replay_file"]
