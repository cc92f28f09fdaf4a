"""The command: its arguments, `lint` and `draw`, and how it ends."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from machine.cli.load import CommandError, load
from machine.draw import FORMATS, draw
from machine.errors import MachineError, SchemaError, UnknownState
from machine.lint import Finding, lint

__all__ = ["main"]

_ABOUT = """\
Look at schemas of states, draw them, and try machines out.

SCHEMA is a file (.json, .yaml, .toml, or .txt with the short form), a Python object as
module:Name or path/to/file.py:Name (a States class, a Schema, a Machine or a subclass of it),
or - for standard input."""

_EXAMPLES = """\
examples:
  python -m machine lint door.txt
  python -m machine draw app.states:Door --format svg -o door.svg
  echo 'Open -Closed; Closed* -Open' | python -m machine draw - --active Open
  python -m machine run app.door:Door
  python -m machine why app.door:Door +Open

exit codes: 0 all is well, 1 there are warnings or failed lines, 2 it could not be done"""

_LINT = """\
examples:
  python -m machine lint door.txt
  python -m machine lint app.states:Door -o json --ignore name-style --ignore multi-add:Busy

exit codes: 0 no warnings, 1 warnings, 2 the schema is invalid or cannot be read"""

_DRAW = """\
examples:
  python -m machine draw door.txt                         Mermaid, for Markdown
  python -m machine draw app:Door -o door.svg             the format is that of the suffix
  python -m machine draw app:Door --active Open,Alarm --relations require,add --format dot"""

_RUN = """\
examples:
  python -m machine run app.door:Door
  printf '+Open\\n?Closed\\n' | python -m machine run door.txt
  python -m machine run door.txt --script steps.txt -o jsonl

Lines like +A,B  -A  =A,B  ?A  !message  inspect  story A; `help` lists them all.
exit codes: 0 all lines were understood, 1 some were not (or, with --strict, were canceled),
2 the schema is invalid or cannot be read"""

_ASK = {
    "initial": """\
examples:
  python -m machine initial app.door:Door""",
    "possible": """\
examples:
  python -m machine possible door.txt
  python -m machine possible app.door:Door --active Open -o json""",
    "why": """\
examples:
  python -m machine why door.txt +Open
  python -m machine why app.door:Door --active Locked -o json -- -Locked

exit codes: 0 it would be accepted, 1 it would not, 2 it could not be asked""",
}

_SUFFIXES = {
    ".svg": "svg",
    ".png": "png",
    ".dot": "dot",
    ".gv": "dot",
    ".d2": "d2",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".md": "mermaid",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code. Argument errors and --help raise SystemExit."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.does(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe; a flush at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except (CommandError, MachineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m machine",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="lint|draw|run|initial|possible|why")
    one = _command(commands, "lint", "find relations that are valid and mislead", _LINT)
    one.add_argument("-o", "--output", choices=("text", "json"), default="text")
    one.add_argument(
        "--ignore", action="append", default=[], metavar="CODE[:STATE]", help="leave findings out"
    )
    one.set_defaults(does=_lint)
    one = _command(commands, "draw", "draw states and relations", _DRAW)
    one.add_argument(
        "--format", "-f", choices=(*FORMATS, "png"), help="mermaid, or that of the suffix of -o"
    )
    _add_active(one, "states to show as active")
    one.add_argument("--relations", metavar="KINDS", help="of require,add,remove,after; else all")
    one.add_argument("--title", help="a heading; else the name of the class")
    one.add_argument(
        "-o", "--output", metavar="FILE", help="the file to write; else standard output"
    )
    one.set_defaults(does=_draw)
    one = _command(commands, "run", "a machine to try out, line by line", _RUN)
    _add_active(one, "states to set at the beginning")
    one.add_argument("--script", metavar="FILE", help="read lines from here, not from the keyboard")
    one.add_argument("-o", "--output", choices=("text", "jsonl"), default="text")
    one.add_argument("--strict", action="store_true", help="exit 1 if a mutation was canceled")
    one.set_defaults(does=_run)
    _add_questions(commands)
    return parser


def _add_questions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    abouts = {
        "initial": "the states that are active in a new machine",
        "possible": "the states that could be added",
        "why": "whether a mutation would be accepted, and why not",
    }
    for name, about in abouts.items():
        one = _command(commands, name, about, _ASK[name])
        if name == "why":
            one.add_argument("mutation", metavar="MUTATION", help="+A,B or -A,B")
        if name != "initial":
            _add_active(one, "states to set before")
        one.add_argument("-o", "--output", choices=("text", "json"), default="text")
        one.set_defaults(does=_ask, question=name)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, more: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "schema", metavar="SCHEMA", help="a file, module:Name, or - for standard input"
    )
    return parser


def _add_active(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--active", action="append", metavar="A,B", help=text)


def _names(given: Sequence[str]) -> list[str]:
    return [name for part in given for name in part.replace(",", " ").split()]


# -- lint --------------------------------------------------------------------------------


def _lint(options: argparse.Namespace) -> int:
    try:
        loaded = load(options.schema)
    except SchemaError as error:
        if options.output == "json":
            rows = [{**dataclasses.asdict(one), "level": "error"} for one in error.problems]
            print(json.dumps(rows, indent=2, ensure_ascii=False))
        raise
    found = lint(
        loaded.what if isinstance(loaded.what, type) else loaded.schema, ignore=options.ignore
    )
    warnings = sum(finding.level == "warning" for finding in found)
    if options.output == "json":
        rows = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for finding in found:
            print(finding)
        print(_summary(found, warnings, len(loaded.schema)))
    return 1 if warnings else 0


def _summary(found: list[Finding], warnings: int, states: int) -> str:
    if not found:
        return f"{states} states, nothing to say"
    return f"{states} states; warnings: {warnings}, remarks: {len(found) - warnings}"


# -- draw --------------------------------------------------------------------------------


def _draw(options: argparse.Namespace) -> int:
    loaded = load(options.schema)
    output = options.output
    suffix = Path(output).suffix.lower() if output else ""
    if suffix and suffix not in _SUFFIXES and options.format is None:
        raise CommandError(
            f"{output}: there are no pictures of the kind {suffix}; the endings are "
            f"{', '.join(_SUFFIXES)}, or name a --format"
        )
    picture = draw(
        loaded.what,
        options.format or _SUFFIXES.get(suffix, "mermaid"),
        active=None if options.active is None else _known(options.active, loaded.schema.names),
        relations=None if options.relations is None else _names([options.relations]),
        title=options.title,
    )
    data = picture.encode(errors="replace") if isinstance(picture, str) else picture
    if not output or output == "-":
        if isinstance(picture, str):
            sys.stdout.write(picture)
        elif sys.stdout.isatty():
            raise CommandError("a PNG is not for a terminal; give a file with -o")
        else:
            sys.stdout.buffer.write(data)
        return 0
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror}") from error
    return 0


def _known(given: Sequence[str], known: Sequence[str]) -> list[str]:
    names = _names(given)
    for name in names:
        if name not in known:
            raise UnknownState(name, known=known)
    return names


# -- run ---------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from machine.cli.run import run

    if options.schema == "-" and not options.script:
        raise CommandError("with the schema from standard input, give the lines with --script")
    loaded = load(options.schema)
    active = None if options.active is None else _known(options.active, loaded.schema.names)
    lines = None
    if options.script:
        try:
            lines = Path(options.script).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {options.script}: {error}") from error
    return run(loaded, lines, active, jsonl=options.output == "jsonl", strict=options.strict)


# -- questions ---------------------------------------------------------------------------


def _ask(options: argparse.Namespace) -> int:
    from machine.cli import ask

    loaded = load(options.schema)
    as_json = options.output == "json"
    if options.question == "initial":
        return ask.initial(loaded, as_json=as_json)
    active = None if options.active is None else _known(options.active, loaded.schema.names)
    if options.question == "possible":
        return ask.possible(loaded, active, as_json=as_json)
    return ask.why(loaded, options.mutation, active, as_json=as_json)
