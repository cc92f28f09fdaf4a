"""20,000 random cases: the machine does what a slow and obvious model says.

A difference is made as small as it gets and shown as a `Case`, with its seed:
`difference(case)` tells what differs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from machine.errors import SchemaError
from tests.machine.model import Op
from tests.machine.model_cases import Behaviour, Case, difference, make_cases, minimised

CHUNKS, SEEDS, CASES = 20, 250, 4  # 1,000 cases in a chunk, 4 of each schema


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Nothing is logged of the many handlers that raise."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def differs(case: Case) -> bool:
    """Whether both can run it and it comes out otherwise."""
    try:
        return difference(case) is not None
    except SchemaError:
        return False


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_machine_does_what_the_model_says(chunk: int) -> None:
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        for case in make_cases(seed, CASES):
            if difference(case) is not None:
                small = minimised(case, differs)
                pytest.fail(f"seed {seed}:\n{small}\n{difference(small)}", pytrace=False)


def test_the_cases_are_the_same_in_every_run() -> None:
    assert make_cases(7, 3) == make_cases(7, 3)
    assert make_cases(7, 3)[:2] == make_cases(7, 2)
    assert make_cases(7, 1) != make_cases(8, 1)


def test_a_case_is_made_as_small_as_it_gets() -> None:
    case = Case(
        ("A*! +B -C", "B ?C", "C >A,B"),
        (
            {"AB": Behaviour(refuses=1), "BEnter": Behaviour((Op("+", ("A", "C")), Op("err")))},
            {"AnyState": Behaviour(raises=True)},
        ),
        (Op("+", ("A", "B"), args=True), Op("=", ("C", "B")), Op("-", ("A",))),
        queue_limit=2,
    )

    def fails(smaller: Case) -> bool:
        asks = [op for group in smaller.groups for does in group.values() for op in does.does]
        return any("C" in op.states for op in asks) and any(
            "B" in op.states for op in smaller.steps
        )

    small = minimised(case, fails)
    assert small == Case(
        ("B", "C"), ({"BEnter": Behaviour((Op("+", ("C",)),))},), (Op("=", ("B",)),)
    )
