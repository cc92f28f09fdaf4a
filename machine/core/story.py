"""Stories: the transitions that led to a state or an error, and how they read.

Tracers that can tell them derive from `StorySource`; without one, `known_story`
tells as much as the machine itself knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from machine.core.call_sites import CallSite
from machine.core.mutation import Source
from machine.core.records import TransitionRecord
from machine.core.tracer import Tracer
from machine.core.view import View
from machine.rules.kinds import Kind
from machine.rules.resolution import Move, Relations
from machine.rules.steps import Step, steps_of
from machine.schema.schema import EXCEPTION
from machine.texts import error_text

if TYPE_CHECKING:
    from machine.core.view import View
    from machine.rules.resolution import Move, Relations

__all__ = ["Story", "StoryEntry", "StorySource", "known_story", "title_of"]

_MORE = "Bind a machine.story.StoryTracer() to learn which mutations and handlers led to it."


@dataclass(slots=True, eq=False)
class StoryEntry:
    """One transition, and its origin.

    Attributes:
        record: the transition; as it was at its beginning while it runs.
        at: the time when it began, in seconds since 1970.
        site: the line that asked for it; of an error the line that raised it.
            None for auto mutations.
        runner: the task or thread that asked for it; "" for the main thread.
        cause: the id of the transition that led to it; "" if none is known.
        handler: the handler of that transition which asked for it.
        handlers: the handlers that were called, in order.
        rejected_by: a handler's name, `relations`, or "".
    """

    record: TransitionRecord
    at: float
    site: CallSite | None = None
    runner: str = ""
    cause: str = ""
    handler: str = ""
    handlers: list[str] = field(default_factory=list)
    rejected_by: str = ""
    relations: tuple[Relations, Move] | None = field(default=None, repr=False)

    @property
    def machine(self) -> str:
        """The machine's id."""
        return self.record.machine

    @property
    def transition(self) -> str:
        """The transition's id."""
        return self.record.transition

    @property
    def kind(self) -> Kind:
        """The kind of the mutation: add, remove or set."""
        return self.record.kind

    @property
    def called(self) -> tuple[str, ...]:
        """The states that the mutation named."""
        return self.record.called

    @property
    def args(self) -> tuple[str, ...]:
        """The names of the arguments, without their values."""
        return tuple(self.record.args)

    @property
    def auto(self) -> bool:
        """True if the machine made it, of Auto states."""
        return self.record.auto

    @property
    def source(self) -> Source | None:
        """The event that it was made for, if its caller named one."""
        return self.record.source

    @property
    def accepted(self) -> bool:
        """False if it was rejected or failed."""
        return self.record.accepted

    @property
    def error(self) -> str:
        """The class and text of a handler's error; or ""."""
        return self.record.error

    @property
    def ticks(self) -> dict[str, int]:
        """The states that it changed, with their new ticks."""
        return {change.name: change.tick for change in self.record.changes}

    def __str__(self) -> str:
        args = f" ({', '.join(self.args)})" if self.args else ""
        return f"{self.record}{args}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The effects of relations, one by one."""
        return () if self.relations is None else steps_of(*self.relations)

    def why(self, state: str) -> str:
        """The effect of this transition on a state, in words."""
        words = [_WORDS[one.kind].format(" ".join(one.other)) for one in self._steps(state)]
        if words:
            return f"{state} {', '.join(words)}"
        if self.kind is Kind.SET:
            return f"{state} was not among those set"
        return f"{state} was changed along with it"

    def _steps(self, state: str) -> Iterator[Step]:
        return (one for one in self.steps if one.state == state and one.kind in _WORDS)

    def lines(self) -> list[str]:
        """Its details, one by one."""
        found = []
        if self.site is not None:
            runner = f" ({self.runner})" if self.runner else ""
            found.append(f"at {self.site}{runner}")
        if self.source is not None:
            found.append(f"for the event {self.source.transition} of {self.source.machine!r}")
        if self.handlers:
            found.append(f"handlers: {', '.join(self.handlers)}")
        if self.error:
            found.append(f"failed in {self.rejected_by}: {self.error}")
        elif not self.accepted:
            found.append(f"rejected by {self.rejected_by}")
        return found


_WORDS = {
    "called": "was called",
    "implied": "was implied by {}",
    "blocked": "was removed by {}",
    "rejected": "was dropped without {}",
}


@dataclass(frozen=True, slots=True)
class Story:
    """The causes of a state or an error; as text a list that begins with the effect.

    Attributes:
        machine: the machine's id.
        state: the state it is about.
        title: the effect, in words.
        entries: the transitions, the latest first; each was caused by the next one.
        attempt: a later transition that wanted to change the state and was canceled.
        hint: a way to learn more; "" if all is known.
    """

    machine: str
    state: str
    title: str
    entries: tuple[StoryEntry, ...] = ()
    attempt: StoryEntry | None = None
    hint: str = ""

    @property
    def deeds(self) -> tuple[StoryEntry, ...]:
        """The entries, by their name of before."""
        return self.entries

    def __iter__(self) -> Iterator[StoryEntry]:
        return iter(self.entries)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The lines of the text."""
        lines = [self.title]
        before: StoryEntry | None = None
        for number, entry in enumerate(self.entries, 1):
            time = _time_of_day(entry.at)
            lines.append(f"{number}. {_led(before, entry)}{entry}  {entry.transition}  {time}")
            details = entry.lines()
            if before is None and self.state in entry.ticks:
                details.insert(0, entry.why(self.state))
            lines += [f"   {line}" for line in details]
            before = entry
        if self.attempt is not None:
            lines.append(f"Since then, in vain: {self.attempt}  {self.attempt.transition}")
            lines += [f"   {line}" for line in self.attempt.lines()]
        if self.hint:
            lines.append(self.hint)
        return lines


def _led(effect: StoryEntry | None, entry: StoryEntry) -> str:
    if effect is None:
        return ""
    if entry.error and EXCEPTION in effect.called:
        return f"it was raised in {effect.handler} of "
    if effect.auto:
        return "it followed "
    if effect.handler:
        return f"it was asked for in {effect.handler} of "
    return "it was made for "


def _time_of_day(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]


class StorySource(Tracer):
    """A tracer that can tell stories; `Machine.story` asks the first one that is bound."""

    def story(self, machine: View, state: str) -> Story:
        """The transitions that led to the state's current tick."""
        raise NotImplementedError

    def error_story(self, machine: View) -> Story:
        """The transitions that led to the machine's last error."""
        raise NotImplementedError


def title_of(machine: View, state: str) -> str:
    """The state's activity and tick, in words."""
    tick = machine.tick(state)
    if not tick:
        return f"{state} of {machine.id!r} has never been active"
    active = "active" if machine.is_(state) else "inactive"
    return f"{state} of {machine.id!r} is {active}, tick {tick}"


def known_story(machine: View, state: str) -> Story:
    """The story of a state, or with "" of the last error, as far as the machine knows it."""
    if state:
        title = title_of(machine, state)
    elif machine.err is None:
        return Story(machine.id, EXCEPTION, f"{machine.id!r} has had no error")
    else:
        title = f"The last error of {machine.id!r}: {error_text(machine.err)}"
    known = []
    running = machine.transition
    if state and running is not None and state in (*running.enters, *running.exits):
        known.append(f"Just now: {running.mutation}  {running.id}")
        cause = running.mutation.cause
        while cause is not None:
            known.append(f"which a handler of {cause} asked for")
            cause = cause.cause
    if not state:
        known += getattr(machine.err, "__notes__", ())
    return Story(machine.id, state or EXCEPTION, title, hint="\n".join((*known, _MORE)))
