"""Pictures in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from machine.draw._picture import WORDS, Box, Key, Line, Picture, tooltip
from machine.schema.state import Relation

__all__ = ["dot"]

_LOOKS = {
    Relation.REQUIRE: "color={c} arrowhead=normal",
    Relation.ADD: "color={c} style=dashed arrowhead=empty",
    Relation.REMOVE: "color={c} arrowhead=tee constraint=false",
    Relation.AFTER: "color={c} style=dotted arrowhead=vee constraint=false",
}
_COLOURS = {
    Relation.REQUIRE: '"#0969da"',
    Relation.ADD: '"#8250df"',
    Relation.REMOVE: '"#cf222e"',
    Relation.AFTER: '"#6e7781"',
}
_SAMPLES = {
    Relation.REQUIRE: "\N{BLACK RIGHT-POINTING POINTER}",
    Relation.ADD: "\N{WHITE RIGHT-POINTING POINTER}",
    Relation.REMOVE: "\N{BOX DRAWINGS HEAVY VERTICAL}",
    Relation.AFTER: ">",
}
_DOT = " \N{MIDDLE DOT} "
_STROKES = {Relation.ADD: "- -", Relation.AFTER: "\N{MIDDLE DOT}" * 3}


def dot(picture: Picture) -> str:
    """The text of a directed graph."""
    return "\n".join(_write(picture)) + "\n"


def _write(picture: Picture) -> Iterator[str]:
    yield "digraph states {"
    yield '    graph [rankdir=RL compound=true fontname="Helvetica" nodesep=0.25 ranksep=0.7]'
    yield (
        '    node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=12'
        ' fillcolor="#f6f8fa" color="#8c959f" fontcolor="#1f2328" height=0.35]'
    )
    yield '    edge [arrowsize=0.8 penwidth=1.3 fontname="Helvetica"]'
    if picture.title:
        yield f"    label={_quoted(picture.title)} labelloc=t"
    framed = picture.framed
    for name, box in picture.boxes.items():
        if name not in framed:
            yield f"    {_box(box)}"
    for at, frame in enumerate(picture.frames):
        look = 'style="rounded,dashed" color="#cf222e" fontcolor="#cf222e"'
        if not frame.exclusive:
            look = 'style="rounded" color="#8c959f" fontcolor="#57606a"'
        yield f"    subgraph cluster_{at} {{"
        yield f"        label={_quoted(frame.heading)} fontsize=11 labeljust=l {look}"
        for name in frame.members:
            yield f"        {_box(picture.boxes[name])}"
        yield "    }"
    for line in picture.lines:
        yield f"    {_line(line, picture)}"
    yield from _legend(picture)
    yield "}"


def _box(box: Box) -> str:
    small = [*box.badges, *([] if box.tick is None else [str(box.tick)])]
    label = escape(box.name)
    if small:
        label += f' <FONT POINT-SIZE="9">{_DOT.join(small)}</FONT>'
    look = ""
    if box.active:
        fill = "#cf222e" if box.is_error else "#1a7f37"
        look = f' fillcolor="{fill}" color="{fill}" fontcolor="#ffffff"'
    return f"{_quoted(box.name)} [label=<{label}> tooltip={_quoted(tooltip(box))}{look}]"


def _line(line: Line, picture: Picture) -> str:
    look = _LOOKS[line.kind].format(c=_COLOURS[line.kind])
    if line.both:
        look += " dir=both arrowtail=tee"
    if isinstance(line.source, int):
        look += f" ltail=cluster_{line.source}"
    if isinstance(line.target, int):
        look += f" lhead=cluster_{line.target}"
    ends = f"{_end(line.source, picture)} -> {_end(line.target, picture)}"
    return f"{ends} [{look} edgetooltip={_quoted(WORDS[line.kind])}]"


def _end(key: Key, picture: Picture) -> str:
    """The state that a line is tied to; for a frame the one in its middle."""
    if isinstance(key, int):
        members = picture.frames[key].members
        key = members[len(members) // 2]
    return _quoted(key)


def _legend(picture: Picture) -> Iterator[str]:
    rows = []
    for kind in picture.kinds:
        stroke = _STROKES.get(kind, "\N{HORIZONTAL BAR}\N{HORIZONTAL BAR}")
        colour = _COLOURS[kind]
        sample = f"<FONT COLOR={colour}>{stroke}{escape(_SAMPLES[kind])}</FONT>"
        rows.append(f'<TR><TD>{sample}</TD><TD ALIGN="LEFT">{WORDS[kind]}</TD></TR>')
    if rows:
        table = f'<TABLE BORDER="0" CELLPADDING="1" CELLSPACING="0">{"".join(rows)}</TABLE>'
        yield f'    "legend of relations" [shape=plain style="" fontsize=10 label=<{table}>]'


def _quoted(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{safe}"'
