"""Help texts: at most 40 lines of 80 columns for a command, words never broken.

The parameters of a command are duck-typed: typer brings a command library of its
own in some versions and uses an installed one in others.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from grid.cli._catalog import COMMANDS, PANELS
from grid.cli._output import styled

__all__ = ["CONNECTION", "command_help", "root_help"]

CONNECTION = "Connection"
_WIDEST = 100
_LEFT = 30  # columns of an option's names; longer ones get a line of their own

# Options of a connection that share a line, with the text for all of them.
_TOGETHER = (
    (("--etcd-ca", "--etcd-cert", "--etcd-key"), "FILE", "TLS to etcd (PEM files)"),
    (("--etcd-user", "--etcd-password"), "TEXT", "etcd's user"),
)
_CONNECTION_LINES = (
    ("--etcd HOST:PORT,...", "endpoints of etcd (default: 127.0.0.1:2379)"),
    ("-n, --namespace NAME", "the grid (default: default)"),
    ("--timeout SECONDS", "limit of a call (default: 10)"),
    *((", ".join(flags) + f" {value}", text) for flags, value, text in _TOGETHER),
)


def root_help(guests: Iterable[str] = ()) -> str:
    """Help of `grid` itself; guests are the commands of other packages."""
    lines = [
        "Usage: grid [OPTIONS] COMMAND ...",
        "",
        *_wrap("Actors and mailboxes with unique names, across processes.", "  "),
        *_wrap("Data goes to stdout, everything else to stderr.", "  "),
    ]
    width = max(map(len, COMMANDS)) + 2
    for panel in PANELS:
        lines += ["", _heading(panel)]
        for one in COMMANDS.values():
            if one.panel == panel:
                lines += _row(one.name, one.summary, width)
    names = sorted(guests)
    if names:
        lines += ["", _heading("Of other packages"), *_wrap(", ".join(names), "  ")]
    lines += ["", _heading("Options, before the command or after it")]
    for names_of_option, text in _CONNECTION_LINES:
        lines += _row(names_of_option, text, _LEFT)
    lines += ["", _heading("Options")]
    lines += _row("--version", "print the version", _LEFT)
    lines += _row("--install-completion", "completion of names in this shell", _LEFT)
    lines += _row("-h, --help", "this text; of a command: grid COMMAND --help", _LEFT)
    lines += ["", *_wrap("Each option has a variable, as GRID_ETCD for --etcd.")]
    lines += [*_wrap("Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 timed out.")]
    return "\n".join(lines) + "\n"


def command_help(name: str, doc: str, params: Iterable[Any]) -> str:
    """Help of a sub-command, from its docstring and its parameters."""
    shown = [one for one in params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    connection = [one for one in options if _panel(one) == CONNECTION]
    own = [one for one in options if _panel(one) != CONNECTION and "--help" not in one.opts]
    usage = " ".join(_argument_usage(one) for one in arguments)
    lines = [f"Usage: grid {name} [OPTIONS] {usage}".rstrip(), "", *_paragraphs(doc)]
    if arguments:
        lines += ["", _heading("Arguments")]
        width = max(len(_metavar(one)) for one in arguments) + 2
        for one in arguments:
            lines += _row(_metavar(one), one.help or "", width)
    if own:
        lines += ["", _heading("Options")]
        left = min(_LEFT, max(len(_names(one)) for one in own) + 4)
        for one in own:
            lines += _row(_names(one), one.help or "", left)
    if connection:
        lines += ["", _heading(CONNECTION)]
        for names, text in _CONNECTION_LINES:
            lines += _row(names, text, _LEFT)
    return "\n".join([*lines, "", *_variables(options)]) + "\n"


def _variables(options: Iterable[Any]) -> list[str]:
    irregular = [
        one.envvar
        for one in options
        if isinstance(one.envvar, str) and one.envvar != _usual_variable(one)
    ]
    text = "Each option has a variable, as GRID_ETCD for --etcd"
    if irregular:
        text += f"; but {', '.join(irregular)}"
    return _wrap(text + ".")


def _usual_variable(one: Any) -> str:
    return "GRID_" + _long(one)[2:].replace("-", "_").upper()


def _long(one: Any) -> str:
    return next((flag for flag in one.opts if flag.startswith("--")), str(one.opts[0]))


def _names(one: Any) -> str:
    flags = ", ".join(sorted(one.opts, key=len))
    return flags if one.is_flag else f"{flags} {_metavar(one)}"


def _metavar(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _argument_usage(one: Any) -> str:
    return _metavar(one) if one.required else f"[{_metavar(one)}]"


def _panel(one: Any) -> str:
    return str(getattr(one, "rich_help_panel", None) or "")


def _paragraphs(doc: str) -> Iterator[str]:
    """Paragraphs wrapped; lines of examples, which begin with `$`, as they are."""
    for i, paragraph in enumerate(textwrap.dedent(doc).strip().split("\n\n")):
        if i:
            yield ""
        lines = paragraph.splitlines()
        if lines[0].lstrip().startswith("$"):
            yield from (f"  {line.strip()}" for line in lines)
        else:
            yield from _wrap(" ".join(line.strip() for line in lines), "  ")


def _row(left: str, text: str, width: int) -> list[str]:
    indent = " " * (width + 2)
    if len(left) + 2 > width:
        return [f"  {left}", *_wrap(text, indent)]
    wrapped = _wrap(text, indent) or [""]
    return [f"  {left:<{width}}{wrapped[0][width + 2 :]}".rstrip(), *wrapped[1:]]


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _columns(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns() -> int:
    # One column stays free: some terminals wrap a line that fills them.
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST) - 1


def _heading(text: str) -> str:
    return styled(f"{text}:", "bold", sys.stdout)
