"""Parameters of a command, and the command line that gives them.

Hand-made because a command has to answer at once: importing a command library takes
longer than all of a help text or a completion. The rules are the usual ones:
`--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`, flags that may be joined
(`-wo json`), `--` before arguments that begin with a dash, options anywhere.
A variable of the environment stands for an option that is not given.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from grid.cli._exits import BadInput

__all__ = ["Completer", "Parameter", "complete", "parse"]

# From the values that are known so far and the typed text to the words to offer.
Completer = Callable[[Mapping[str, Any], str], Iterable[str]]

_SECRETS = ("password", "token")  # ends of the flags whose values are not shown
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One option or argument of a command.

    Attributes:
        flags: `--name` and `-n` of an option; empty for an argument.
        metavar: word for the value in help and errors; empty for a flag without value.
        help: one line, without a period.
        convert: from the typed text to the value; raises `BadInput`.
        variable: its variable of the environment; empty for an argument.
        many: may be given several times; the value is a list.
        hidden: not in help.
        panel: heading in help; empty for the command's own options.
        complete: words to offer for the value.
        name: name of the function's parameter.
        default: value when it is not given.
        required: True if it has to be given.
    """

    flags: tuple[str, ...] = ()
    metavar: str = ""
    help: str = ""
    convert: Callable[[str], Any] = str
    variable: str = ""
    many: bool = False
    hidden: bool = False
    panel: str = ""
    complete: Completer | None = None
    name: str = ""
    default: Any = None
    required: bool = False

    @property
    def is_flag(self) -> bool:
        """True for an option that takes no value."""
        return bool(self.flags) and not self.metavar

    def value_of(self, text: str) -> Any:
        """The value of a typed text; raises `BadInput`."""
        # Bytes that are no text are in the words as surrogates, which no message can carry.
        # A path may have them.
        if self.convert is str and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                is_secret = any(flag.endswith(_SECRETS) for flag in self.flags)
                told = "" if is_secret else f", not {text!r}"
                raise BadInput(f"{self.shown} must be text in UTF-8{told}") from None
        return self.convert(text)

    @property
    def shown(self) -> str:
        """Name in errors: the long flag, or the word for the value."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.metavar)


def parse(command: str, parameters: Sequence[Parameter], words: Sequence[str]) -> dict[str, Any]:
    """Values by name of parameter.

    Raises:
        BadInput: the words do not fit; the text says what is wrong.
    """
    line = _Line(parameters)
    problem = line.read(words) or line.assign()
    if problem:
        _refuse(command, problem)
    for one in parameters:
        if one.name not in line.values:
            value = _from_environment(one)
            if value is None and one.required:
                _refuse(command, f"{one.shown} is missing")
            line.values[one.name] = one.default if value is None else value
    return line.values


def complete(parameters: Sequence[Parameter], words: Sequence[str], typed: str) -> list[str]:
    """Words to offer after some words, for one that is begun."""
    line = _Line(parameters)
    try:
        if line.read(words) and line.awaiting is None:
            return []
        for one in parameters:
            value = None if one.name in line.values else _from_environment(one)
            if value is not None:
                line.values[one.name] = value
    except BadInput:
        return []
    target = line.awaiting
    if target is None and typed.startswith("-"):
        flags = [flag for one in parameters if not one.hidden for flag in one.flags]
        return sorted(flag for flag in flags if flag.startswith(typed))
    if target is None:
        target = line.next_argument()
    if target is None or target.complete is None:
        return []
    return sorted(word for word in target.complete(line.values, typed) if word.startswith(typed))


class _Line:
    """A command line that is read word by word."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.values: dict[str, Any] = {}
        self.awaiting: Parameter | None = None  # an option whose value comes next
        self._options = {flag: one for one in parameters for flag in one.flags}
        self._arguments = [one for one in parameters if not one.flags]
        self._free: list[str] = []

    def read(self, words: Sequence[str]) -> str:
        """Read options, and keep the other words as arguments; returns what is wrong."""
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if self.awaiting is not None:
                self._give(self.awaiting, word)
                self.awaiting = None
            elif word == "--":
                self._free += rest
                break
            elif word.startswith("-") and word != "-":
                problem = self._read_option(word, rest)
                if problem:
                    return problem
            else:
                self._free.append(word)
        return f"{self.awaiting.shown} needs a value" if self.awaiting else ""

    def _read_option(self, word: str, rest: list[str]) -> str:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
        else:
            flag, value = word[:2], word[2:]
            equals = "=" if value else ""
        option = self._options.get(flag)
        if option is None:
            close = difflib.get_close_matches(flag, self._options, n=1)
            return f"no such option: {flag}" + (f" (did you mean {close[0]}?)" if close else "")
        if not option.is_flag:
            if equals:
                self._give(option, value)
            else:
                self.awaiting = option
        elif not equals:
            self.values[option.name] = True
        elif word.startswith("--"):
            return f"{flag} takes no value"
        else:
            self.values[option.name] = True
            rest.insert(0, f"-{value}")
        return ""

    def _give(self, one: Parameter, text: str) -> None:
        value = one.value_of(text)
        if one.many:
            self.values.setdefault(one.name, []).append(value)
        else:
            self.values[one.name] = value

    def assign(self) -> str:
        """Give the words that are no options to the arguments; returns what is wrong."""
        words = list(self._free)
        for one in self._arguments:
            while words:
                self._give(one, words.pop(0))
                if not one.many:
                    break
        return f"unexpected argument {words[0]!r}" if words else ""

    def next_argument(self) -> Parameter | None:
        """The argument that the next word would be."""
        for i, one in enumerate(self._arguments):
            if i == len(self._free) or one.many:
                return one
        return None


def _from_environment(one: Parameter) -> Any:
    text = os.environ.get(one.variable, "") if one.variable else ""
    if not text:
        return None
    if one.is_flag:
        if text.lower() in _YES | _NO:
            return text.lower() in _YES
        raise BadInput(f"{one.variable} must be one of 1, true, yes, on or 0, false, no, off")
    try:
        return [one.value_of(part) for part in text.split()] if one.many else one.value_of(text)
    except BadInput as error:
        raise BadInput(f"{error} (in the variable {one.variable})") from None


def _refuse(command: str, problem: str) -> NoReturn:
    raise BadInput(f"{problem}; see: grid {command} --help")
