"""What is remembered of a transition, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from machine.core.call_sites import CallSite
from machine.core.mutation import Source
from machine.rules.kinds import Kind
from machine.rules.steps import Step, steps_of
from machine.schema.schema import EXCEPTION

if TYPE_CHECKING:
    from machine.rules.resolution import Compiled, Move

__all__ = ["Deed", "Story"]


@dataclass(slots=True, eq=False)
class Deed:
    """One transition, and where it came from.

    Attributes:
        machine: the machine's id.
        transition: the transition's id.
        kind: what it did with the called states.
        called: these states.
        args: the names of the arguments, without their values.
        auto: the machine made it, of Auto states.
        at: when it began, in seconds since 1970.
        site: the line that asked for it; of an error the line that raised it.
            None for auto mutations.
        runner: the task or thread that asked for it; "" for the main thread.
        cause: the id of the transition that led to it; "" if nothing is known of one.
        handler: the handler of that transition which asked for it.
        source: the event that it was made for, if its caller named one.
        handlers: those that were called, in order.
        accepted: False if it was rejected or failed.
        rejected_by: a handler's name, `relations`, or "".
        error: what a handler raised, as text.
        ticks: the states that it changed, with their new ticks.
    """

    machine: str
    transition: str
    kind: Kind
    called: tuple[str, ...]
    args: tuple[str, ...]
    auto: bool
    at: float
    site: CallSite | None
    runner: str
    cause: str
    handler: str
    source: Source | None
    handlers: list[str] = field(default_factory=list)
    accepted: bool = False
    rejected_by: str = ""
    error: str = ""
    ticks: dict[str, int] = field(default_factory=dict)
    _move: tuple[Compiled, Move] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        auto = ":auto" if self.auto else ""
        args = f" ({', '.join(self.args)})" if self.args else ""
        return f"[{self.kind}{auto}] {', '.join(self.called)}{args}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """What relations did in it."""
        return () if self._move is None else steps_of(*self._move)

    def why(self, state: str) -> str:
        """What this transition did to a state, in words."""
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
    """What led to something; as text it is a list that begins with the effect.

    Attributes:
        machine: the machine's id.
        state: the state it is about.
        title: what is so.
        deeds: the transitions, the latest first, each led to by the next one.
        attempt: a later transition that wanted to change the state and was canceled.
        hint: what to do to learn more; "" if all is known.
    """

    machine: str
    state: str
    title: str
    deeds: tuple[Deed, ...] = ()
    attempt: Deed | None = None
    hint: str = ""

    def __iter__(self) -> Iterator[Deed]:
        return iter(self.deeds)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The lines of the text."""
        lines = [self.title]
        before: Deed | None = None
        for number, deed in enumerate(self.deeds, 1):
            lines.append(
                f"{number}. {_led(before, deed)}{deed}  {deed.transition}  {_clock(deed.at)}"
            )
            details = deed.lines()
            if before is None and self.state in deed.ticks:
                details.insert(0, deed.why(self.state))
            lines += [f"   {line}" for line in details]
            before = deed
        if self.attempt is not None:
            lines.append(f"Since then, in vain: {self.attempt}  {self.attempt.transition}")
            lines += [f"   {line}" for line in self.attempt.lines()]
        if self.hint:
            lines.append(self.hint)
        return lines


def _led(effect: Deed | None, deed: Deed) -> str:
    if effect is None:
        return ""
    if deed.error and EXCEPTION in effect.called:
        return f"it was raised in {effect.handler} of "
    if effect.auto:
        return "it followed "
    if effect.handler:
        return f"it was asked for in {effect.handler} of "
    return "it was made for "


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]
