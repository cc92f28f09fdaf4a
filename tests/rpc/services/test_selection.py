"""The choice by affinity, on a clock that the tests move."""

from __future__ import annotations

import pytest

from rpc.services.selection import Bid, Selection, SelectionOptions

# (seconds, server, score), in the order of arrival.
BIDS = ((0.0, "1", 0.1), (0.1, "2", 0.5), (0.3, "3", 0.7), (0.3, "4", 0.1), (0.5, "5", 0.9))


def choose(
    options: SelectionOptions, bids: tuple[tuple[float, str, float], ...] = BIDS
) -> tuple[str | None, float]:
    """The chosen server, and when it was chosen."""
    selection = Selection(options, 0.0, until=10.0)
    for at, server, score in bids:
        if at > selection.stop_at:
            break
        chosen = selection.bid(Bid(server, score), at)
        if chosen is not None:
            return chosen, at
    return selection.finish(), selection.stop_at


@pytest.mark.parametrize(
    ("options", "server", "at"),
    [
        (SelectionOptions(accept_first=True), "1", 0.0),
        (SelectionOptions(accept_first=True, minimum=0.5), "2", 0.1),
        (SelectionOptions(short_circuit=0.15), "2", 0.15),
        (SelectionOptions(minimum=0.4, short_circuit=0.25), "3", 0.35),
        (SelectionOptions(minimum=0.3, affinity_timeout=0.25, short_circuit=0.2), "2", 0.25),
        (SelectionOptions(affinity_timeout=0.6), "5", 0.6),
        (SelectionOptions(maximum=0.7), "3", 0.3),
        (SelectionOptions(), "5", 10.0),
    ],
)
def test_the_server_and_the_time(options: SelectionOptions, server: str, at: float) -> None:
    chosen, when = choose(options)
    assert chosen == server
    assert when == pytest.approx(at)


def test_zero_and_less_is_never_chosen() -> None:
    none = ((0.0, "1", 0.0), (0.1, "2", -1.0), (0.2, "3", float("nan")))
    for options in (SelectionOptions(accept_first=True), SelectionOptions(affinity_timeout=1.0)):
        assert choose(options, none)[0] is None
    assert choose(SelectionOptions(accept_first=True), (*none, (0.3, "4", 0.001)))[0] == "4"


def test_equal_scores_keep_the_earlier_server() -> None:
    bids = ((0.0, "1", 0.5), (0.1, "2", 0.5))
    assert choose(SelectionOptions(affinity_timeout=1.0), bids)[0] == "1"


def test_a_function_of_ones_own_sees_the_bids_that_count() -> None:
    seen: list[str] = []

    def lowest(bids: object) -> str | None:
        assert isinstance(bids, tuple)
        seen.extend(bid.member for bid in bids)
        return min(bids, key=lambda bid: bid.score).member if bids else None

    options = SelectionOptions(minimum=0.3, affinity_timeout=0.4, choose=lowest)
    assert choose(options)[0] == "2"
    assert seen == ["2", "3"]
    assert choose(options, ())[0] is None
