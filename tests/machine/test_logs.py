"""The lines that a machine's log has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from machine import Event, InvalidArgument, Machine
from machine.logs import ArgsMapper, Level, MachineLogger


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines of the logger `machine.test`, at all standard levels."""
    log, kept = logging.getLogger("machine.test"), Lines()
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(kept)
    yield kept
    log.removeHandler(kept)
    log.propagate = True
    log.setLevel(logging.NOTSET)


Make = Callable[..., tuple[Machine[Any], MachineLogger]]


@pytest.fixture
def make(lines: Lines) -> Make:
    """A machine with a logger that shows no ids."""

    def made(
        schema: str, level: Level | str = Level.OPS, handlers: object = (), **options: Any
    ) -> tuple[Machine[Any], MachineLogger]:
        options = {"ids": False, **options}
        logger = MachineLogger(level, logger=logging.getLogger("machine.test"), **options)
        machine: Machine[Any] = Machine(schema, id="door-of-the-house", handlers=handlers)
        machine.bind_tracer(logger)
        return machine, logger

    return made


def test_a_mutation_its_handlers_and_what_it_changes(make: Make, lines: Lines) -> None:
    machine, _ = make("A; B -A", handlers={"BEnter": lambda: None, "BState": lambda: None})
    machine.add("A")
    machine.add("B")
    assert lines.texts == [
        "[add] A",
        "[state] +A",
        "[add] B",
        "[rel:remove] A by B",
        "[handler:0] BEnter",
        "[state] +B -A",
        "[handler:0] BState",
    ]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("nothing", []),
        ("external", []),
        ("changes", ["[state] +B -A"]),
        ("ops", ["[add] B", "[rel:remove] A by B", "[handler:0] BEnter", "[state] +B -A"]),
        (
            "everything",
            [
                "[add] B",
                "[rel:remove] A by B",
                "[handler:0] BEnter",
                "[handler:end] BEnter",
                "[state] +B -A C",
            ],
        ),
    ],
)
def test_levels(make: Make, lines: Lines, level: str, expected: list[str]) -> None:
    machine, logger = make("A; B -A; C", "nothing", handlers={"BEnter": lambda: None})
    machine.add("A", "C")
    logger.level = Level[level.upper()]
    machine.add("B")
    assert lines.texts == expected


def test_implied_and_rejected_states(make: Make, lines: Lines) -> None:
    machine, _ = make("A +B; B; C ?D ?E; D; E")
    machine.add("A")
    machine.add("C")
    assert lines.texts == [
        "[add] A",
        "[implied] B",
        "[state] +A +B",
        "[add] C",
        "[reject] C(-D -E)",
        "[cancel:reject] C",
    ]


def test_lines_about_relations_can_be_left_out(make: Make, lines: Lines) -> None:
    machine, _ = make("A +B; B", steps=False)
    machine.add("A")
    assert lines.texts == ["[add] A", "[state] +A +B"]


def test_auto_states(make: Make, lines: Lines) -> None:
    machine, logger = make("A; B* ?A; C* ?D; D")
    machine.add("A")
    assert lines.texts == ["[add] A", "[state] +A", "[auto] B C", "[auto_] +B"]
    lines.records.clear()
    logger.level = Level.DECISIONS
    machine.add("D")
    machine.remove("D")
    assert "[add:auto] C" in lines.texts
    assert "[auto_] +C" in lines.texts
    assert "[reject:auto] C(-D)" in lines.texts


def test_the_queue(make: Make, lines: Lines) -> None:
    def state(machine: Machine[Any]) -> None:
        machine.add("B", "C")
        machine.prepend("add", "D")

    machine, _ = make("A; B; C; D", handlers={"AState": state})
    machine.add("A")
    assert lines.texts == [
        "[add] A",
        "[state] +A",
        "[handler:0] AState",
        "[queue:add] B C",
        "[postpone] queue running (1 item)",
        "[prepend:add] D",
        "[add] D",
        "[state] +D",
        "[add] B C",
        "[state] +B +C",
    ]


def test_a_handler_that_says_no(make: Make, lines: Lines) -> None:
    machine, _ = make("A; D", handlers={"DEnter": lambda: False})
    machine.add("A")
    lines.records.clear()
    machine.add("D")
    assert lines.texts == ["[add] D", "[handler:0] DEnter", "[cancel] (D A) by DEnter"]


def test_a_handler_that_raises(make: Make, lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    def state() -> None:
        raise ValueError("two\nlines")

    machine, _ = make("A", handlers={"AState": state})
    machine.add("A")
    assert lines.texts == [
        "[add] A",
        "[state] +A",
        "[handler:0] AState",
        "[cancel] (A) by recover",
        "[prepend:add] Exception",
        "[recover] partial final states as ()",
        "[add] Exception",
        "[state] +Exception",
        "[error:add] A (ValueError: two lines) by AState",
    ]
    error = lines.records[-1]
    assert error.levelno == logging.ERROR
    assert error.exc_info is None
    assert "AState raised" in caplog.text


def test_an_error_from_outside_with_its_traceback(make: Make, lines: Lines) -> None:
    machine, _ = make("A", "changes", traces=True)
    machine.add_err(ValueError("broken"))
    assert lines.texts == ["[state] +Exception", "[error] ValueError: broken"]
    assert lines.records[-1].exc_info is not None


def test_standard_levels_and_what_a_record_carries(make: Make, lines: Lines) -> None:
    machine, _ = make("A", ids=True)
    machine.add("A")
    add, state = lines.records
    assert add.getMessage() == "[door-] [add] A"
    assert (add.levelno, state.levelno) == (logging.DEBUG, logging.INFO)
    assert vars(add)["machine_id"] == "door-of-the-house"
    assert vars(add)["machine_level"] == "ops"
    assert vars(add)["transition"] == "door-of-the-house#1"


def test_a_standard_level_of_ones_own(make: Make, lines: Lines) -> None:
    machine, _ = make("A", levels={Level.OPS: logging.WARNING})
    machine.add("A")
    assert [one.levelno for one in lines.records] == [logging.WARNING, logging.INFO]


def test_a_logger_that_is_not_enabled_gets_nothing(make: Make, lines: Lines) -> None:
    logging.getLogger("machine.test").setLevel(logging.INFO)
    machine, _ = make("A")
    machine.add("A")
    assert lines.texts == ["[state] +A"]


def test_arguments_are_shown_by_name(make: Make, lines: Lines) -> None:
    machine, _ = make("A", args=["to", "by"])
    machine.add("A", args={"to": 1, "secret": 2, "by": "x" * 30})
    assert lines.texts[0] == f"[add] A (by={'x' * 17}... to=1)"


@pytest.mark.parametrize(
    ("max_len", "value", "shown"),
    [
        (20, "x" * 20, "x" * 20),
        (20, "x" * 21, "x" * 17 + "..."),
        (5, "123456", "12..."),
        (4, "123456", "1234"),
        (1, "12", "1"),
    ],
)
def test_long_arguments_are_cut(max_len: int, value: str, shown: str) -> None:
    assert ArgsMapper(["a"], max_len)({"a": value, "b": 1}) == {"a": shown}


def test_an_args_mapper_is_sorted_and_says_nothing_of_nothing() -> None:
    mapper = ArgsMapper(["b", "a"])
    assert mapper.text({"b": 2, "a": 1, "c": 3}) == " (a=1 b=2)"
    assert mapper.text({"c": 3}) == ""
    with pytest.raises(InvalidArgument, match="max_len"):
        ArgsMapper(["a"], 0)


def test_the_source_of_a_mutation(make: Make, lines: Lines) -> None:
    other: Machine[Any] = Machine("X", id="other")
    machine, _ = make("A")

    def state(event: Event) -> None:
        machine.add("A", source=event)

    other.bind({"XState": state})
    other.add("X")
    assert lines.texts == ["[add] A", "[source] other/other#1/0", "[state] +A"]


def test_lines_of_the_program(make: Make, lines: Lines) -> None:
    machine, logger = make("A", "external")

    def state(event: Event, machine: Machine[Any]) -> None:
        logger.log(machine, "hello", event=event)

    machine.bind({"AState": state})
    logger.log(machine, "two\nlines")
    machine.add("A")
    assert lines.texts == ["[extern] two lines", "[extern:AState] hello"]


def test_checks_are_left_out_unless_asked_for(make: Make, lines: Lines) -> None:
    machine, logger = make("A", handlers={"AEnter": lambda: False})
    assert machine.can_add("A").canceled
    assert lines.texts == []
    logger.checks = True
    machine.can_add("A")
    assert "[add:check] A" in lines.texts


def test_each_group_of_handlers_has_its_number(make: Make, lines: Lines) -> None:
    other, _ = make("A", handlers={"AState": lambda: None})

    class Group:
        def AEnter(self) -> None:
            other.add("A")

    groups: list[object] = [Group(), {"AState": lambda: None}, Group()]
    machine, _ = make("A", handlers=groups)
    machine.add("A")
    called = [line for line in lines.texts if line.startswith("[handler")]
    assert called == [
        "[handler:0] AEnter",
        "[handler:0] AState",
        "[handler:2] AEnter",
        "[handler:1] AState",
    ]


def test_bindings_and_the_end(make: Make, lines: Lines) -> None:
    machine, _ = make("A")
    binding = machine.bind({"AState": lambda: None}, id="mine")
    binding.detach()
    machine.dispose()
    assert lines.texts == ["[handlers] bind mine", "[handlers] detach mine", "[dispose]"]


def test_unknown_levels() -> None:
    with pytest.raises(InvalidArgument, match="no level 'loud'"):
        MachineLogger("loud")
    assert MachineLogger("decisions").level is Level.DECISIONS


def test_the_same_work_gives_the_same_lines(make: Make, lines: Lines) -> None:
    schema = "A* ?B -C; B +D; C -B; D; E! -D"
    runs: list[list[str]] = []
    for _ in range(5):
        machine, _ = make(schema, "everything")
        args: Mapping[str, int] = {"z": 1, "a": 2}
        for names in (("B",), ("C", "E"), ("B", "D"), ("E",)):
            machine.add(*names, args=args)
        runs.append(lines.texts)
        lines.records.clear()
    assert all(run == runs[0] for run in runs)


def test_waits_contexts_and_evals_have_lines(make: Make, lines: Lines) -> None:
    machine, _ = make("A; B")
    waits = machine.when("A", "B"), machine.when_args("B", {"n": 1})
    context = machine.state_ctx("A")
    machine.eval("me", lambda: None)
    machine.add("A")
    machine.add("B", args={"n": 1})
    assert all(wait.done for wait in waits)
    assert context.expired
    assert [text for text in lines.texts if not text.startswith(("[add]", "[state]"))] == [
        "[when:new] A B",
        "[whenArgs:new] B with n=1",
        "[ctx:new] A",
        "[eval] me",
        "[ctx:match] A",
        "[whenArgs:match] B with n=1",
        "[when:match] A B",
    ]
