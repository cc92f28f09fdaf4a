"""Names by number: each said once, and the same on both sides however few numbers there are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.transport._routes import (
    NO_ROUTE,
    InboundRoutes,
    OutboundRoute,
    OutboundRoutes,
    RouteError,
)
from grid.wire_pb2 import Route

names = st.integers(0, 9).map(lambda n: f"name{n}")
epochs = st.integers(0, 2)


def outbound(limit: int) -> OutboundRoutes:
    routes = OutboundRoutes()
    routes.limit = limit
    return routes


def said(routes: InboundRoutes, used: OutboundRoute) -> tuple[str, str, int]:
    one = routes[used.number]
    return one.receiver, one.type_name, one.epoch


def test_a_route_is_defined_once() -> None:
    routes = outbound(10)
    one = routes.find("r", "T", 1)
    assert routes.find("r", "T", 1) is one
    (definition,) = routes.define([one, NO_ROUTE, one])
    assert definition == Route(number=1, receiver="r", type_name="T", epoch=1)
    assert routes.define([one]) == []


def test_another_epoch_is_another_route() -> None:
    routes = outbound(10)
    old, new = routes.find("r", "T", 1), routes.find("r", "T", 2)
    assert [one.number for one in routes.define([old, new])] == [1, 2]


@given(
    st.integers(1, 6),
    st.lists(st.lists(st.tuples(names, names, epochs), min_size=1, max_size=6), max_size=60),
)
def test_both_sides_mean_the_same_with_few_numbers(
    limit: int, frames: list[list[tuple[str, str, int]]]
) -> None:
    sender, receiver = outbound(limit), InboundRoutes(limit)
    # Deliveries hold their routes while others are defined before them.
    held = [[(name, sender.find(*name)) for name in frame[:limit]] for frame in frames]
    for frame in held:
        receiver.define(sender.define([route for _, route in frame]))
        for name, route in frame:
            assert said(receiver, route) == name


@pytest.mark.parametrize("limit", [2, 3, 100])
def test_the_number_given_out_first_goes_to_the_new_route(limit: int) -> None:
    sender = outbound(limit)
    numbers = [sender.define([sender.find(f"{n}", "T", 0)])[0].number for n in range(3 * limit)]
    assert numbers == [*range(1, limit + 1)] * 3


def test_a_route_that_the_frame_itself_uses_keeps_its_number() -> None:
    sender = outbound(2)
    one, two = sender.find("1", "T", 0), sender.find("2", "T", 0)
    sender.define([one, two])
    three = sender.find("3", "T", 0)
    (definition,) = sender.define([three, one])
    assert (one.number, three.number, definition.number) == (1, 2, 2)
    assert two.number < 0


@pytest.mark.parametrize("define", [True, False])
def test_names_that_come_and_go_are_not_kept(define: bool) -> None:
    sender = outbound(16)
    rng = random.Random(1)
    for _ in range(30_000):
        route = sender.find(f"{rng.random()}", "T", 0)
        if define:
            sender.define([route])
    assert len(sender._defined) <= 16
    assert len(sender.by_name) <= 16 + 4096


def test_a_name_that_stays_keeps_its_number_among_those_taken_back() -> None:
    sender = outbound(16)
    stays = sender.find("stays", "T", 0)
    sender.define([stays])
    for n in range(10_000):
        sender.find(f"{n}", "T", 0)  # never defined
    assert sender.find("stays", "T", 0) is stays


def test_0_means_no_names() -> None:
    assert (InboundRoutes(4)[0].receiver, InboundRoutes(4)[0].epoch) == ("", 0)


@pytest.mark.parametrize("number", [1, 4, 5, 2**32 - 1])
def test_what_was_never_defined_is_not_known(number: int) -> None:
    with pytest.raises(RouteError, match=f"route {number} is not defined"):
        InboundRoutes(4)[number]


@pytest.mark.parametrize(
    "route",
    [
        Route(number=0, receiver="r"),
        Route(number=5, receiver="r"),
        Route(number=1, receiver="r" * 4097),
        Route(number=1, type_name="T" * 4097),
    ],
)
def test_bounds(route: Route) -> None:
    with pytest.raises(RouteError):
        InboundRoutes(4).define([route])
