"""Help texts: at most 40 lines of 80 columns for a command, words never broken."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator

from grid.cli._catalog import COMMANDS, GUESTS, PANELS
from grid.cli._output import styled
from grid.cli._parser import Parameter

__all__ = ["CONNECTION", "command_help", "root_help"]

CONNECTION = "Connection"
_WIDEST = 100
_LEFT = 30  # columns of an option's names; longer ones get a line of their own
_SHORT = 68  # characters of a list that stands beside its heading

# Options of a connection; those with one beginning share a line.
_CONNECTION_LINES = (
    ("--etcd HOST:PORT,...", "endpoints of etcd (default: 127.0.0.1:2379)"),
    ("-n, --namespace NAME", "the grid (default: default)"),
    ("--timeout SECONDS", "limit of a call (default: 10)"),
    ("--etcd-ca/-cert/-key FILE", "TLS with etcd (PEM); also --etcd-user/-password"),
    ("--tls-ca/-cert/-key FILE", "TLS with peers (PEM); also --tls-server-name"),
)


def root_help(guests: Iterable[str] = ()) -> str:
    """Help of `grid` itself; guests are the commands of other packages."""
    lines = [
        "Usage: grid [OPTIONS] COMMAND ...",
        "",
        *_wrap("Actors and mailboxes with unique names; data on stdout, all else on stderr.", "  "),
    ]
    width = max(map(len, COMMANDS)) + 2
    others = set(guests)
    known = [one for one in GUESTS.values() if one.name in others]
    others -= GUESTS.keys()
    for panel in PANELS:
        lines += ["", _heading(panel)]
        for one in (*COMMANDS.values(), *known):
            if one.panel == panel:
                lines += _row(one.name, one.summary, width)
    names = sorted(others)
    if names:
        heading, listed = _heading("Others"), ", ".join(names)
        short = len(listed) <= _SHORT
        lines += [f"{heading} {listed}"] if short else ["", heading, *_wrap(listed, "  ")]
    lines += ["", _heading("Options, before the command or after it")]
    for names_of_option, text in _CONNECTION_LINES:
        lines += _row(names_of_option, text, _LEFT)
    lines += _row("--install-completion", "completion of names in this shell", _LEFT)
    lines += _row("-h, --help; --version", "this text, or grid COMMAND --help; version", _LEFT)
    lines += ["", *_wrap("Each option has a variable, as GRID_ETCD for --etcd.")]
    lines += [*_wrap("Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 timed out.")]
    return "\n".join(lines) + "\n"


def command_help(name: str, doc: str, parameters: Iterable[Parameter]) -> str:
    """Help of a sub-command, from its docstring and its parameters."""
    shown = [one for one in parameters if not one.hidden]
    arguments = [one for one in shown if not one.flags]
    options = [one for one in shown if one.flags]
    own = [one for one in options if one.panel != CONNECTION]
    usage = " ".join(one.metavar if one.required else f"[{one.metavar}]" for one in arguments)
    lines = [f"Usage: grid {name} [OPTIONS] {usage}".rstrip(), "", *_paragraphs(doc)]
    if arguments:
        lines += ["", _heading("Arguments")]
        width = max(len(one.metavar) for one in arguments) + 2
        for one in arguments:
            lines += _row(one.metavar, one.help, width)
    if own:
        lines += ["", _heading("Options")]
        left = min(_LEFT, max(len(_names(one)) for one in own) + 4)
        for one in own:
            lines += _row(_names(one), one.help, left)
    if len(own) < len(options):
        lines += ["", _heading(CONNECTION)]
        for names, text in _CONNECTION_LINES:
            lines += _row(names, text, _LEFT)
    return "\n".join([*lines, "", *_variables(options)]) + "\n"


def _variables(options: Iterable[Parameter]) -> list[str]:
    irregular = [
        one.variable
        for one in options
        if one.variable != "GRID_" + one.shown[2:].replace("-", "_").upper()
    ]
    text = "Each option has a variable, as GRID_ETCD for --etcd"
    if irregular:
        text += f"; but {', '.join(irregular)}"
    return _wrap(text + ".")


def _names(one: Parameter) -> str:
    flags = ", ".join(sorted(one.flags, key=len))
    return flags if one.is_flag else f"{flags} {one.metavar}"


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
        line = f"  {left}  {text}"
        return [line] if len(line) <= _columns() else [f"  {left}", *_wrap(text, indent)]
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
