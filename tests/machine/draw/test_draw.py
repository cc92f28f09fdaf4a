"""Pictures: what is in them, that tools can read them, and that nothing in them overlaps."""

from __future__ import annotations

import itertools
import re
import struct
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from machine import Machine, Schema, SchemaError, State, States, UnknownState, group, state
from machine.draw import FORMATS, _png, draw
from machine.draw._layers import parts_of
from machine.draw._layout import Layout, Rect
from machine.draw._picture import picture_of
from machine.draw._svg import _Drawing
from machine.draw._svg import svg as svg_of
from machine.errors import InvalidArgument, MachineError, MissingExtra
from machine.ready_made import Basic, Connected, ConnPool, Disposed
from tests.machine.vector_kit import AnyMachine, Vector, each

SVG = "{http://www.w3.org/2000/svg}"
FILE = (
    "Downloading -Downloaded; Downloaded -Downloading; Processing* ?Downloaded -Processed; "
    "Processed -Processing; Uploading* ?Processed -Uploaded; Uploaded -Uploading"
)


class Door(States):
    """One of each relation."""

    Opened = state(remove="Closed")
    Closed = state(auto=True, remove=Opened)
    Alarm = state(multi=True, require=Closed, add="Light", after=Opened)
    Light = state()
    Phase = group(Opened, Closed)


def texts(svg: str, kind: str) -> list[str]:
    """The texts of a class in an SVG."""
    root = ET.fromstring(svg)  # noqa: S314 - we have made it
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text") if one.get("class") == kind]


def boxes(svg: str, kind: str) -> list[str]:
    """The names of the boxes that have a class."""
    root = ET.fromstring(svg)  # noqa: S314
    found = []
    for one in root.iter(f"{SVG}g"):
        if {"box", kind} <= set((one.get("class") or "").split()):
            found += [
                name.text or "" for name in one.iter(f"{SVG}text") if name.get("class") == "name"
            ]
    return found


def lines(svg: str) -> list[str]:
    """The tooltips of lines."""
    root = ET.fromstring(svg)  # noqa: S314
    return [
        one.findtext(f"{SVG}title") or ""
        for one in root.iter(f"{SVG}g")
        if (one.get("class") or "").startswith("line") and one.find(f"{SVG}title") is not None
    ]


# -- what is in a picture ----------------------------------------------------------------


def test_an_svg_shows_states_relations_and_flags() -> None:
    svg = draw(Door, "svg")
    assert texts(svg, "name") == ["Opened", "Closed", "Alarm", "Light"]
    assert texts(svg, "pill") == ["auto", "multi"]
    assert texts(svg, "heading") == ["Door"]
    assert lines(svg) == ["Alarm requires Closed", "Alarm adds Light", "Alarm after Opened"]
    assert "Phase: at most one" in svg
    assert 'class="tick"' not in svg


def test_a_live_machine_shows_active_states_and_ticks() -> None:
    door: AnyMachine = Machine(Door, id="front")
    door.add("Opened")
    door.add("Closed")
    door.add("Alarm")
    svg = draw(door, "svg")
    assert texts(svg, "heading") == ["front"]
    assert boxes(svg, "active") == ["Closed", "Alarm", "Light"]
    assert texts(svg, "tick")[:4] == ["2", "1", "1", "1"]
    door.add_err(ValueError())
    assert "Exception" in boxes(draw(door, "svg"), "error")
    assert ":::error" in draw(door, "mermaid")


def test_what_is_active_can_be_given() -> None:
    assert boxes(draw(Door, "svg", active="Opened"), "active") == ["Opened"]
    clock = draw(Door, "svg", active={"Opened": 3, "Closed": 2})
    assert boxes(clock, "active") == ["Opened"]
    assert texts(clock, "tick")[:2] == ["3", "2"]
    assert ":::active" not in draw(Door)
    with pytest.raises(UnknownState, match="did you mean 'Opened'"):
        draw(Door, active=["Opend"])


def test_relations_can_be_chosen() -> None:
    assert lines(draw(Door, "svg", relations="add")) == ["Alarm adds Light"]
    both = lines(draw("A -B ?C; B -A; C", "svg", relations=["remove", "require"]))
    assert both == ["A requires C"]
    assert "at most one" not in draw("A -B; B -A", "svg", relations="require")
    with pytest.raises(InvalidArgument, match="unknown relation 'requires'; did you mean"):
        draw(Door, relations="requires")


def test_states_that_exclude_each_other_are_one_frame() -> None:
    names = [f"Phase{at}" for at in range(9)]
    schema = Schema(
        {name: State(remove=names, require="Start") for name in names}
        | {"Start": State(), "Stop": State(remove=names)}
    )
    picture = picture_of(schema)
    assert [frame.members for frame in picture.frames] == [tuple(names)]
    ends = [(line.source, line.target, line.kind.value) for line in picture.lines]
    assert ends == [(0, "Start", "require"), ("Stop", 0, "remove")]
    assert draw(schema, "mermaid").count("--x") == 1
    assert draw(schema, "dot").count("lhead=cluster_0") == 1


def test_a_mutual_remove_without_a_frame_is_one_line_with_two_ends() -> None:
    svg = draw("A -B,C; B -A; C -A", "svg")
    assert lines(svg) == [
        "A removes B, and the other way round",
        "A removes C, and the other way round",
    ]
    assert "A x--x B" in draw("A -B,C; B -A; C -A")


def test_groups_that_overlap_are_told_in_words() -> None:
    schema = Schema.parse("A; B; C")
    overlapping = Schema(schema, groups={"Ab": ["A", "B"], "Bc": ["B", "C"]})
    svg = draw(overlapping, "svg")
    assert ">Ab</text>" in svg
    assert "Bc = B, C" in svg


def test_exception_is_left_out_until_it_matters() -> None:
    assert "Exception" not in draw("A; B")
    assert "Exception" in draw("A; Err ?Exception")
    assert "Exception" in draw("A; B", active=["Exception"])


def test_the_legend_tells_what_there_is_and_no_more() -> None:
    legend = {"A requires B", "A adds B", "A removes B", "A comes after B"}
    assert {one for one in legend if one in draw(FILE, "svg")} == {"A requires B"}
    assert {one for one in legend if one in draw("A +B >C -D; B; C; D", "svg")} == {
        "A adds B",
        "A removes B",
        "A comes after B",
    }


def test_equal_things_give_equal_pictures() -> None:
    for form in FORMATS:
        assert draw(Schema.parse(FILE), form) == draw(Schema.parse(FILE), form)


# -- formats -----------------------------------------------------------------------------


def test_formats_in_f_strings() -> None:
    machine: AnyMachine = Machine(FILE, id="file")
    machine.add("Downloading")
    assert f"{machine}" == str(machine) == "(Downloading:1)"
    assert f"{machine:mermaid}" == draw(machine)
    assert f"{machine:svg}" == draw(machine, "svg") == machine._repr_svg_()
    assert f"{machine.schema:dot}" == draw(machine.schema, "dot")
    assert f"{machine.schema}" == str(machine.schema)
    for it in (machine, machine.schema):
        with pytest.raises(ValueError, match="mermaid, dot, svg, d2"):
            f"{it:png}"


def test_notebooks_get_text_and_picture() -> None:
    machine: AnyMachine = Machine(FILE, id="file")
    assert machine._repr_mimebundle_() == {
        "text/plain": repr(machine),
        "image/svg+xml": draw(machine, "svg"),
    }
    many = Schema({f"S{at}": State() for at in range(400)})
    assert set(many._repr_mimebundle_()) == {"text/plain"}


def test_a_format_that_is_unknown_is_named() -> None:
    with pytest.raises(InvalidArgument, match="unknown format 'sgv'; did you mean 'svg'"):
        draw("A", "sgv")
    with pytest.raises(SchemaError):
        draw("A ?A", "svg")


def test_titles_are_those_that_somebody_gave() -> None:
    class Gate(Machine[Door]):
        """A machine of one's own."""

    assert "heading" not in draw(Machine(Door), "svg").partition("<rect")[2]
    assert texts(draw(Gate, "svg"), "heading") == ["Gate"]
    assert texts(draw(Gate(id="north"), "svg"), "heading") == ["Gate north"]
    assert texts(draw(Gate(id="north"), "svg", title="a <b> & c"), "heading") == ["a <b> & c"]


def test_mermaid_keeps_its_own_words_apart() -> None:
    text = draw("end ?graph; graph; Ümlaut +end")
    assert not re.search(r"^ +(end|graph)\b *[\[-]", text, re.MULTILINE)
    assert 'state0["end"]' in text
    assert "state0 --> state1" in text
    assert "state2 ==> state0" in text


def test_text_formats_escape_what_they_have_to() -> None:
    awkward = 'say "hi" <b> [x] | \\ `'
    schema = Schema(Schema.parse("A; B"), groups={awkward: ["A", "B"]})
    assert r"say \"hi\" <b> [x] | \\ `" in draw(schema, "dot")
    assert "#34;hi#34; #60;b#62; #91;x#93; #124; #92; #96;" in draw(schema, "mermaid")
    assert awkward in "".join(ET.fromstring(draw(schema, "svg")).itertext())  # noqa: S314


def test_graphviz_has_one_edge_for_each_relation() -> None:
    dot = draw(Door, "dot", active={"Closed": 1})
    assert '"Alarm" -> "Closed" [color="#0969da" arrowhead=normal' in dot
    assert '"Alarm" -> "Light" [color="#8250df" style=dashed' in dot
    assert '"Alarm" -> "Opened" [color="#6e7781" style=dotted' in dot
    assert "subgraph cluster_0" in dot
    assert dot.count("{") == dot.count("}")


# -- nothing overlaps --------------------------------------------------------------------


def overlap(one: Rect, other: Rect) -> bool:
    """Whether two places have something in common."""
    across = one.x < other.x + other.width and other.x < one.x + one.width
    return across and one.y < other.y + other.height and other.y < one.y + one.height


def inside(point: tuple[float, float], rect: Rect) -> bool:
    x, y = point
    return rect.x + 1 < x < rect.x + rect.width - 1 and rect.y + 1 < y < rect.y + rect.height - 1


def check_layout(what: object) -> None:
    drawing = _Drawing(picture_of(what))
    for one, other in itertools.combinations(drawing.boxes.items(), 2):
        assert not overlap(one[1], other[1]), (one, other)
    framed = drawing.picture.framed
    for at, frame in drawing.frames.items():
        for name, box in drawing.boxes.items():
            assert overlap(frame, box) is (framed.get(name) == at), (name, at)
    for one_frame, other_frame in itertools.combinations(drawing.frames.values(), 2):
        assert not overlap(one_frame, other_frame)
    for route in drawing.routes:
        for key, (x, y) in (
            (route.line.source, route.points[0]),
            (route.line.target, route.points[-1]),
        ):
            rect = drawing.boxes[key] if isinstance(key, str) else drawing.frames[key]
            assert x in (rect.x, rect.x + rect.width), "a line ends beside its box"
            assert rect.y <= y <= rect.y + rect.height
        for at, one_point in enumerate(route.points):
            for name, box in drawing.boxes.items():
                assert not inside(one_point, box), (route, at, name)
    width, height = drawing.width, drawing.height
    for rect in (*drawing.boxes.values(), *drawing.frames.values()):
        assert rect.x > 0
        assert rect.y > 0
        assert rect.x + rect.width < width
        assert rect.y + rect.height < height


@pytest.mark.parametrize("what", [Door, FILE, Basic, Connected, ConnPool, Disposed, "A", "A; B"])
def test_nothing_overlaps(what: object) -> None:
    check_layout(what)


@each("relation")
def test_nothing_overlaps_in_the_reference(vector: Vector) -> None:
    check_layout(vector.schema)
    ET.fromstring(draw(vector.schema, "svg"))  # noqa: S314


@pytest.mark.parametrize("seed", range(12))
def test_nothing_overlaps_among_many_states(seed: int, scramble: Callable[[int], Schema]) -> None:
    schema = scramble(seed)
    check_layout(schema)
    picture = picture_of(schema)
    for part in parts_of(picture)[0]:
        layout = Layout(part, lambda key: 64.0)
        for route in layout.routes:
            flat = zip(route.points, route.points[1:], strict=False)
            for at, ((x1, y1), (x2, _)) in enumerate(flat):
                if at % 2 or route.bow:
                    continue  # a curve, between columns
                low, high = sorted((x1, x2))
                for name, rect in layout.boxes.items():
                    crossed = low < rect.x + rect.width - 1 and rect.x + 1 < high
                    assert not (crossed and rect.y < y1 < rect.y + rect.height), (route, name)


@pytest.fixture
def scramble() -> Callable[[int], Schema]:
    """Schemas of many states with relations by chance."""
    import random

    def make(seed: int) -> Schema:
        chance = random.Random(seed)
        names = [f"State{at:02}" for at in range(chance.randint(10, 60))]
        states = {}
        for at, name in enumerate(names):
            later = names[at + 1 : at + 9] or ["State00"]
            states[name] = State(
                auto=chance.random() < 0.2,
                require=chance.sample(names[:at], min(at, chance.choice((0, 1, 1, 2)))),
                add=chance.sample(later, 1) if chance.random() < 0.3 else (),
                after=chance.sample(names[:at], 1) if at and chance.random() < 0.1 else (),
            )
            gone = chance.choice(later)
            if chance.random() < 0.3 and gone not in states[name].require:
                states[name] = states[name].replace(remove=gone)
        return Schema(states, groups={"Some": names[2:5]})

    return make


@pytest.mark.parametrize("name", ["interpolate", "v", "LR", "Interpolate", "linkStyle", "end"])
def test_mermaid_words_are_no_ids(name: str) -> None:
    text = f"{Schema({name: None, 'B': None}):mermaid}"
    assert not re.search(rf"^\s*{name}\b", text, re.MULTILINE)
    assert name in text  # as its label


def test_a_png_has_twice_the_size_of_the_svg() -> None:
    door = Machine(Door)
    svg = draw(door, "svg")
    data = draw(door, "png")
    assert data.startswith(b"\x89PNG\r\n")
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    assert size
    width, height = struct.unpack(">II", data[16:24])
    assert abs(width - 2 * float(size[1])) <= 2
    assert abs(height - 2 * float(size[2])) <= 2


@pytest.mark.parametrize("kind", ["name", "heading", "pill", "tick"])
def test_texts_of_every_kind_are_drawn_in_a_png(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_of(Machine("A*; B -A", id="front"))
    whole = _png.png(picture)
    drawn = svg_of(picture)
    without = re.sub(rf'(<text class="{kind}"[^>]*>)[^<]*', r"\1", drawn)
    assert without != drawn
    monkeypatch.setattr(_png, "svg", lambda picture: without)
    assert _png.png(picture) != whole


def test_without_a_font_a_png_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_png, "_SANS", '"No Such Font"')
    with pytest.raises(MachineError, match="font"):
        draw("A", "png")


def test_without_resvg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtra, match=r"actor-grid\[png\]"):
        draw("A", "png")


def test_a_png_is_no_text() -> None:
    with pytest.raises(InvalidArgument, match="draw"):
        _ = f"{Machine('A'):png}"
