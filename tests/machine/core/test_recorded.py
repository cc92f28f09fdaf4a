"""Our machine against recordings of the Go implementation: results, order, ticks, handler calls.

`tests/machine/original/README.md` tells how they are made, and where they stop short of a
deviation.
"""

import functools
import logging
from collections.abc import Iterator

import pytest

from tests.machine.original.records import Record, load
from tests.machine.original.replay import differences

CHUNK = 100
CHUNKS = 40


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Handlers raise by the hundred: none of that is news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@functools.cache
def records() -> list[Record]:
    return load()


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
def test_our_machine_does_what_the_original_does(chunk: int, traced: bool) -> None:
    some = records()[chunk * CHUNK : (chunk + 1) * CHUNK]
    found = [text for one in some if (text := differences(one, traced=traced))]
    assert not found, f"{len(found)} of {len(some)} scenarios differ\n" + "\n\n".join(found[:5])


def test_the_recordings_are_all_played() -> None:
    assert len(records()) == CHUNK * CHUNKS
    assert sum(not one.deviation for one in records()) > 0.9 * CHUNK * CHUNKS
