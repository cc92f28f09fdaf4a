"""Pictures as Mermaid flowcharts, for Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from machine.draw._picture import WORDS, Box, Key, Picture
from machine.schema.state import Relation

__all__ = ["mermaid"]

_ARROWS = {
    Relation.REQUIRE: "-->",
    Relation.ADD: "==>",
    Relation.REMOVE: "--x",
    Relation.AFTER: "-.->",
}
_COLOURS = {
    Relation.REQUIRE: "#2f81f7",
    Relation.ADD: "#a371f7",
    Relation.REMOVE: "#e5534b",
    Relation.AFTER: "#8b949e",
}
_SAMPLES = {
    Relation.REQUIRE: "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 2 + "\N{BLACK RIGHT-POINTING TRIANGLE}",
    Relation.ADD: "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 2 + "\N{BLACK RIGHT-POINTING TRIANGLE}",
    Relation.REMOVE: "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 2 + "\N{MULTIPLICATION SIGN}",
    Relation.AFTER: "\N{MIDDLE DOT}" * 3 + "\N{BLACK RIGHT-POINTING TRIANGLE}",
}
# Words of the grammar of flowcharts; in any case, as its lexer is not strict about it.
_RESERVED = {
    "accdescr",
    "acctitle",
    "animate",
    "bt",
    "call",
    "class",
    "classdef",
    "click",
    "default",
    "direction",
    "end",
    "flowchart",
    "graph",
    "href",
    "inline",
    "interpolate",
    "legend",
    "linkstyle",
    "lr",
    "rl",
    "style",
    "subgraph",
    "tb",
    "td",
    "v",
}
_DOT = " \N{MIDDLE DOT} "
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CLASSES = (
    "classDef active fill:#1a7f37,stroke:#116329,color:#ffffff",
    "classDef error fill:#cf222e,stroke:#a40e26,color:#ffffff",
    "classDef key fill:none,stroke:none,text-align:left",
)


def mermaid(picture: Picture) -> str:
    """The text of a flowchart."""
    return "\n".join(_Writer(picture).write()) + "\n"


class _Writer:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.ids: dict[Key, str] = {at: f"frame{at}" for at in range(len(picture.frames))}
        taken = {*self.ids.values(), *_RESERVED}
        for at, name in enumerate(picture.boxes):
            good = _PLAIN.fullmatch(name) and name.lower() not in taken
            good = good and not re.fullmatch(r"state\d+", name)
            self.ids[name] = name if good else f"state{at}"
        self.strokes: list[Relation] = []

    def write(self) -> Iterator[str]:
        picture = self.picture
        if picture.title:
            yield from ("---", f"title: {json.dumps(picture.title, ensure_ascii=False)}", "---")
        yield "flowchart RL"
        framed = picture.framed
        for name, box in picture.boxes.items():
            if name not in framed:
                yield f"    {self.box(box)}"
        for at, frame in enumerate(picture.frames):
            yield f"    subgraph {self.ids[at]}[{_quoted(frame.heading)}]"
            for name in frame.members:
                yield f"        {self.box(picture.boxes[name])}"
            yield "    end"
            if frame.exclusive:
                yield f"    style {self.ids[at]} fill:none,stroke:#e5534b,stroke-dasharray:5 4"
            else:
                yield f"    style {self.ids[at]} fill:none,stroke:#8b949e"
        for line in picture.lines:
            arrow = _ARROWS[line.kind]
            arrow = f"x{arrow}" if line.both else arrow
            yield f"    {self.ids[line.source]} {arrow} {self.ids[line.target]}"
            self.strokes.append(line.kind)
        yield from self.legend()
        yield from self.styles()

    def box(self, box: Box) -> str:
        label = _escaped(box.name)
        small = [*box.badges, *([] if box.tick is None else [f"tick {box.tick}"])]
        if small:
            label += f"<br/><small>{_DOT.join(small)}</small>"
        kind = ""
        if box.active:
            kind = ":::error" if box.is_error else ":::active"
        return f'{self.ids[box.name]}["{label}"]{kind}'

    def legend(self) -> Iterator[str]:
        rows = [
            f"<font color='{_COLOURS[kind]}'>{_SAMPLES[kind]}</font> {_told(kind)}"
            for kind in self.picture.kinds
        ]
        if rows:
            yield f'    legend["{"<br/>".join(rows)}"]:::key'

    def styles(self) -> Iterator[str]:
        for line in _CLASSES:
            yield f"    {line}"
        for kind in self.picture.kinds:
            numbers = ",".join(str(at) for at, one in enumerate(self.strokes) if one is kind)
            yield f"    linkStyle {numbers} stroke:{_COLOURS[kind]}"


def _told(kind: Relation) -> str:
    return "comes after" if kind is Relation.AFTER else WORDS[kind]


def _escaped(text: str) -> str:
    """Text in which Mermaid sees no syntax of its own."""
    return re.sub(r"""[^\w .,:;/()+*!?=-]|[*#;_]""", lambda found: f"#{ord(found[0])};", text)


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
