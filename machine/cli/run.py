"""`run`: a machine to try out, line by line, from the keyboard, a pipe or a script."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from machine.cli.load import CommandError, Loaded
from machine.cli.trial import asking, described, trial
from machine.core.machine import Machine
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.core.triggers import triggers_of
from machine.draw import FORMATS
from machine.errors import MachineError
from machine.rules.steps import Step, StepKind
from machine.story import StoryTracer
from machine.waits.result import Result

__all__ = ["HELP", "run"]

HELP = """\
+A,B          add states                    ?A         would +A be accepted?
-A            remove states                 ?-A        would -A be accepted?
=A,B          set: these and no others      !message   add an error
+A {"n": 1}   with arguments, as JSON

active        the active states             inspect [A]  ticks and relations
initial       the states of a new machine   why          the reason of the last no
possible      the states that +A accepts    story [A]    why a state is what it is
wait SECONDS  let the machine work on       draw [format]  a picture as text
triggers      those that are possible, and a trigger's name to call it
help, quit"""

_FEW = 16  # states of which the inactive ones are listed, too
_QUEUED = 5.0  # seconds to wait for queued mutations


class _Quit(Exception):
    """No more lines."""


class _Listener(Tracer):
    """Transitions that are not printed yet; handlers of other threads may add to them."""

    def __init__(self) -> None:
        self.ended: deque[dict[str, Any]] = deque()

    def transition_end(self, tx: Transition) -> None:
        mutation = tx.mutation
        self.ended.append(
            {
                "kind": mutation.kind.value,
                "called": list(mutation.called),
                "auto": mutation.auto,
                "check": mutation.check,
                "accepted": tx.accepted,
                "error": None if tx.error is None else described(tx.error),
                "steps": [
                    {"kind": one.kind.value, "state": one.state, "other": list(one.other)}
                    for one in tx.steps
                ],
                "text": [str(one) for one in tx.steps if _says_more(one)],
            }
        )

    def taken(self) -> list[dict[str, Any]]:
        found = []
        while self.ended:
            found.append(self.ended.popleft())
        return found


def run(
    loaded: Loaded,
    lines: Iterable[str] | None,
    active: list[str] | None,
    *,
    jsonl: bool = False,
    strict: bool = False,
) -> int:
    """Carry out lines until there are no more; return the exit code."""
    with trial(loaded) as machine:
        prompt = _Prompt(machine, jsonl)
        if active is not None:
            prompt.line(f"={','.join(active)}", echo=False)
        interactive = lines is None and sys.stdin.isatty()
        try:
            for line in _typed(machine) if interactive else (lines or sys.stdin):
                prompt.line(line.strip(), echo=not interactive)
        except _Quit:
            pass
    return 1 if prompt.failed or (strict and prompt.canceled) else 0


def _typed(machine: Machine[Any]) -> Iterator[str]:
    """Lines from the keyboard, with a history and the Tab key where there is a readline."""
    with contextlib.suppress(ImportError):
        import readline

        def complete(text: str, at: int) -> str | None:
            found = [name for name in machine.names if name.startswith(text)]
            return found[at] if at < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" ,+-=?!")
        readline.parse_and_bind("tab: complete")
    print(f"{machine.id}: {len(machine.names)} states; help, quit")
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


class _Prompt:
    """An interpreter of lines, which prints their outcome."""

    def __init__(self, machine: Machine[Any], jsonl: bool) -> None:
        self.machine = machine
        self.jsonl = jsonl
        self.failed = False
        self.canceled = False
        self.why = ""  # the reason of the last rejection
        self.number = 0
        self.listener = _Listener()
        machine.bind_tracer(StoryTracer())
        machine.bind_tracer(self.listener)
        self.words: dict[str, Callable[[list[str]], str]] = {
            "active": lambda _: self.state(),
            "initial": lambda _: self.initial(),
            "possible": self.possible,
            "triggers": self.possible_triggers,
            "why": lambda _: self.why or "nothing was rejected",
            "inspect": lambda names: machine.inspect(*names).rstrip("\n"),
            "story": self.story,
            "draw": self.draw,
            "wait": self.wait,
            "help": lambda _: HELP,
            "quit": self.quit,
            "exit": self.quit,
        }

    def line(self, line: str, *, echo: bool) -> None:
        """Carry one line out; an error is printed and counted."""
        self.number += 1
        if not line or line.startswith("#"):
            return
        if echo and not self.jsonl:
            print(f"> {line}")
        try:
            if line[0] in "+-=?!":
                with asking():
                    result = self.mutate(line[0], line[1:].strip())
                self.tell(line, result=result)
            elif line in triggers_of(self.machine):
                with asking():
                    result = self.ended(triggers_of(self.machine)[line]())
                self.tell(line, result=result)
            else:
                word, *rest = line.replace(",", " ").split()
                if word not in self.words:
                    raise CommandError(f"unknown command {word!r}; `help` lists them all")
                self.tell(line, text=self.words[word](rest))
        except (CommandError, MachineError, TimeoutError) as error:
            self.failed = True
            self.tell(line, wrong=str(error))
        sys.stdout.flush()

    def mutate(self, sign: str, rest: str) -> Result:
        machine = self.machine
        if sign == "!":
            return machine.add_err(RuntimeError(rest or "an error"))
        args = None
        if "{" in rest:
            rest, args = _arguments(rest)
        does = {"+": machine.add, "-": machine.remove, "=": machine.set, "?": machine.can_add}[sign]
        if sign == "?" and rest[:1] in ("+", "-"):
            does = machine.can_remove if rest[0] == "-" else machine.can_add
            rest = rest[1:]
        names = rest.replace(",", " ").split()
        if not names and sign != "=":
            raise CommandError(f"which states? Like {sign}{machine.names[0]}")
        return self.ended(does(*names, args=args), dry=sign == "?")

    def ended(self, result: Result, *, dry: bool = False) -> Result:
        """Wait for a queued mutation, and keep the reason of a no."""
        if result.queued:
            result = result.wait(_QUEUED)
        if result.canceled:
            self.why = f"{result.rejected_by}: {result.why}"
            self.canceled |= not dry
        return result

    # -- other words -----------------------------------------------------------------------

    def state(self) -> str:
        machine = self.machine
        return machine.string_all() if len(machine.names) <= _FEW else machine.string()

    def initial(self) -> str:
        found = [name for name, state in self.machine.schema.items() if state.initial]
        return " ".join(found) or "nothing"

    def possible(self, words: list[str]) -> str:
        with asking():
            found = self.machine.possible()
        self.listener.taken()  # its dry runs are not to be shown
        return " ".join(found) or "nothing"

    def possible_triggers(self, words: list[str]) -> str:
        found = [name for name, one in triggers_of(self.machine).items() if one.can().executed]
        self.listener.taken()
        return " ".join(found) or "nothing"

    def story(self, words: list[str]) -> str:
        text = str(self.machine.story(*words[:1])).splitlines()
        return "\n".join(line for line in text if not line.strip().startswith("at <frozen "))

    def draw(self, words: list[str]) -> str:
        wanted = words[0] if words else "mermaid"
        if wanted not in FORMATS:
            raise CommandError(f"unknown format {wanted!r}; the formats are {', '.join(FORMATS)}")
        return format(self.machine, wanted).rstrip("\n")

    def wait(self, words: list[str]) -> str:
        try:
            seconds = float(words[0])
        except (IndexError, ValueError):
            raise CommandError("wait takes seconds, like wait 0.5") from None
        time.sleep(max(0.0, min(seconds, 3600.0)))
        return self.state()

    def quit(self, words: list[str]) -> str:
        raise _Quit

    # -- telling ---------------------------------------------------------------------------

    def tell(
        self, line: str, *, result: Result | None = None, text: str = "", wrong: str = ""
    ) -> None:
        transitions = self.listener.taken()
        if self.jsonl:
            self.tell_json(line, result, text, wrong, transitions)
            return
        if wrong:
            print(f"error in line {self.number}: {wrong}")
        if result is not None:
            said = ("yes" if result.executed else "no") if line[0] == "?" else str(result)
            print(f"{said}  {self.state()}")
        for one in transitions:
            print(f"  {_headline(one)}")
            for step in one["text"]:
                print(f"    {step}")
        if text:
            print(text)

    def tell_json(
        self, line: str, result: Result | None, text: str, wrong: str, transitions: list[Any]
    ) -> None:
        for one in transitions:
            del one["text"]
        row: dict[str, Any] = {"line": self.number, "input": line}
        if wrong:
            row["error"] = wrong
        if text:
            row["text"] = text
        if result is not None:
            row["result"] = str(result)
        row["active"] = list(self.machine.active)
        row["ticks"] = self.machine.clock()
        row["transitions"] = transitions
        print(json.dumps(row, ensure_ascii=False, default=str))


def _says_more(step: Step) -> bool:
    """True if a step says more than the headline of its transition."""
    return step.kind not in (StepKind.CALLED, StepKind.CANCEL) or bool(step.other)


def _headline(one: dict[str, Any]) -> str:
    kind = "auto" if one["auto"] else f"can {one['kind']}" if one["check"] else one["kind"]
    names = " ".join(one["called"])
    end = "" if one["accepted"] else ": canceled"
    if one["error"]:
        end += f", {one['error']}"
    return f"{kind} {names}{end}".strip()


def _arguments(rest: str) -> tuple[str, dict[str, Any]]:
    names, _, text = rest.partition("{")
    try:
        found = json.loads("{" + text)
    except ValueError as error:
        raise CommandError(f"the arguments are no JSON object: {error}") from error
    return names, found
