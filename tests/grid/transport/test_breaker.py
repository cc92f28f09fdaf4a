"""A breaker lets calls through while they can succeed, and tries again carefully."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import BreakerOpen, InvalidArgument, NotDelivered
from grid.transport.breaker import Breaker, BreakerPolicy, BreakerState, Permit

ADDRESS = "10.0.0.1:7000"
POLICY = BreakerPolicy(failures=3, rest=10, probes=2)
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def opened(now: float = 100.0, policy: BreakerPolicy = POLICY) -> Breaker:
    """A breaker that opened at `now`."""
    breaker = Breaker(ADDRESS, policy)
    for _ in range(policy.failures):
        breaker.admit(now).failed(now)
    assert breaker.state(now) is OPEN
    return breaker


def refusal(breaker: Breaker, now: float) -> BreakerOpen:
    with pytest.raises(BreakerOpen) as caught:
        breaker.admit(now)
    return caught.value


def ask(breaker: Breaker, now: float) -> Permit | BreakerOpen:
    try:
        return breaker.admit(now)
    except BreakerOpen as error:
        return error


def play(breaker: Breaker, results: str, now: float) -> None:
    """Calls one after another: `+` succeeds, `-` fails, `0` tells nothing."""
    for result in results:
        settle(breaker.admit(now), result, now)


def settle(permit: Permit, result: str, now: float) -> None:
    if result == "+":
        permit.succeeded(now)
    elif result == "-":
        permit.failed(now)
    else:
        permit.neutral()


# -- closed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("", CLOSED),
        ("++++", CLOSED),
        ("--", CLOSED),
        ("---", OPEN),
        ("--+--", CLOSED),
        ("--+---", OPEN),
        ("--0-", OPEN),
        ("--00", CLOSED),
    ],
)
def test_failures_in_a_row_open_it(results: str, state: BreakerState) -> None:
    breaker = Breaker(ADDRESS, POLICY)
    play(breaker, results, 1.0)
    assert breaker.state(1.0) is state


def test_it_opens_after_five_failures_for_ten_seconds_unless_told_otherwise() -> None:
    breaker = Breaker(ADDRESS)
    play(breaker, "----", 0.0)
    assert breaker.state(0.0) is CLOSED
    play(breaker, "-", 0.0)
    assert breaker.state(9.999) is OPEN
    assert breaker.state(10.0) is HALF_OPEN
    for _ in range(3):
        breaker.admit(10.0)
    refusal(breaker, 10.0)


def test_closed_it_lets_any_number_through() -> None:
    breaker = Breaker(ADDRESS, POLICY)
    permits = [breaker.admit(0.0) for _ in range(1000)]
    for permit in permits:
        permit.succeeded(1.0)
    assert breaker.state(1.0) is CLOSED


# -- open ------------------------------------------------------------------


def test_open_it_refuses_and_says_until_when() -> None:
    error = refusal(opened(now=100), 102.5)
    assert (error.address, error.state, error.retry_in) == (ADDRESS, "open", 7.5)
    assert str(error) == f"peer at {ADDRESS} is not called: breaker open, next try in 7.5 s"


def test_a_refusal_is_safe_to_send_again() -> None:
    error = refusal(opened(), 100)
    assert isinstance(error, NotDelivered)
    assert error.retryable


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_a_refusal_can_be_pickled(state: str) -> None:
    error = BreakerOpen(ADDRESS, state, 1.25)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(back), back.attributes()) == (str(error), error.attributes())


@pytest.mark.parametrize(("now", "state"), [(100, OPEN), (109.9, OPEN), (110, HALF_OPEN)])
def test_it_rests_before_it_tries_again(now: float, state: BreakerState) -> None:
    assert opened(now=100).state(now) is state


def test_to_ask_for_the_state_changes_nothing() -> None:
    breaker = opened(now=100)
    assert breaker.state(200) is HALF_OPEN
    assert breaker.state(105) is OPEN
    assert breaker.since == 100


# -- half-open -------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("+", HALF_OPEN),
        ("++", CLOSED),
        ("-", OPEN),
        ("+-", OPEN),
        ("0", HALF_OPEN),
        ("0000+0+", CLOSED),
        ("++--", CLOSED),
    ],
)
def test_probes_close_or_reopen_it(results: str, state: BreakerState) -> None:
    breaker = opened(now=100)
    play(breaker, results, 110)
    assert breaker.state(110) is state


def test_only_so_many_probes_are_under_way() -> None:
    breaker = opened(now=100)
    probes = [breaker.admit(110) for _ in range(2)]
    error = refusal(breaker, 111)
    assert (error.state, error.retry_in) == ("half_open", 0)
    assert str(error) == (
        f"peer at {ADDRESS} is not called: breaker half_open, next try when a probe ends"
    )
    probes[0].neutral()
    breaker.admit(112)
    refusal(breaker, 112)


def test_a_success_makes_room_for_another_probe() -> None:
    breaker = opened(now=100)
    first, _ = breaker.admit(110), breaker.admit(110)
    first.succeeded(111)
    breaker.admit(111).succeeded(112)
    assert breaker.state(112) is CLOSED


def test_a_failed_probe_starts_a_new_rest() -> None:
    breaker = opened(now=100)
    breaker.admit(110).failed(115)
    assert refusal(breaker, 120).retry_in == 5
    assert breaker.state(125) is HALF_OPEN
    assert breaker.trips == 2


@pytest.mark.parametrize("before", ["+-", "++---"])
def test_each_trial_counts_its_own_successes(before: str) -> None:
    breaker = opened(now=100)
    play(breaker, before, 110)
    play(breaker, "+", 120)
    assert breaker.state(120) is HALF_OPEN
    play(breaker, "+", 120)
    assert breaker.state(120) is CLOSED


def test_closed_again_it_counts_from_nothing() -> None:
    breaker = opened(now=100)
    play(breaker, "++", 110)
    play(breaker, "--", 111)
    assert breaker.state(111) is CLOSED
    assert (breaker.since, breaker.trips) == (110, 1)


# -- permits ---------------------------------------------------------------


@pytest.mark.parametrize("late", ["+", "-", "0"])
def test_calls_from_before_it_opened_change_nothing(late: str) -> None:
    breaker = Breaker(ADDRESS, POLICY)
    old = [breaker.admit(0.0) for _ in range(20)]
    play(breaker, "---", 100)
    for permit in old[:5]:
        settle(permit, late, 105)
    assert (breaker.state(105), breaker.since, breaker.trips) == (OPEN, 100, 1)
    probe = breaker.admit(110)
    for permit in old[5:10]:
        settle(permit, late, 110)
    assert breaker.state(110) is HALF_OPEN
    breaker.admit(110)
    refusal(breaker, 110)  # none of the old ones made room
    probe.succeeded(111)
    breaker.admit(111).succeeded(111)
    for permit in old[10:]:
        settle(permit, late, 112)
    assert (breaker.state(112), breaker.trips) == (CLOSED, 1)


@pytest.mark.parametrize("late", ["+", "-", "0"])
def test_probes_of_an_earlier_trial_change_nothing(late: str) -> None:
    breaker = opened(now=100)
    first, second = breaker.admit(110), breaker.admit(110)
    first.failed(111)
    settle(second, late, 112)
    assert (breaker.state(112), breaker.since) == (OPEN, 111)
    breaker.admit(121)
    breaker.admit(121)
    refusal(breaker, 121)


@pytest.mark.parametrize("again", ["+", "-", "0"])
@pytest.mark.parametrize("first", ["+", "0"])
def test_a_permit_counts_once(first: str, again: str) -> None:
    breaker = opened(now=100)
    breaker.admit(110)
    permit = breaker.admit(110)
    settle(permit, first, 111)
    for _ in range(5):
        settle(permit, again, 112)
    assert breaker.state(112) is HALF_OPEN
    breaker.admit(113)
    refusal(breaker, 113)


def test_breakers_do_not_share_anything() -> None:
    opened()
    assert Breaker(ADDRESS, POLICY).state(100) is CLOSED


@given(
    st.builds(
        BreakerPolicy,
        failures=st.integers(1, 4),
        rest=st.integers(1, 5).map(float),
        probes=st.integers(1, 3),
    ),
    st.lists(st.tuples(st.sampled_from("a+-0"), st.integers(0, 3), st.integers(0, 9))),
)
def test_whatever_happens_it_recovers(
    policy: BreakerPolicy, events: list[tuple[str, int, int]]
) -> None:
    breaker = Breaker(ADDRESS, policy)
    under_way: list[Permit] = []
    now = 0.0
    for event, passed, which in events:
        now += passed
        if event != "a" and under_way:
            settle(under_way.pop(which % len(under_way)), event, now)
            continue
        before = breaker.state(now)
        answer = ask(breaker, now)
        if isinstance(answer, Permit):
            assert before is not OPEN
            under_way.append(answer)
        else:
            assert answer.state == before != CLOSED
            assert 0 <= answer.retry_in <= policy.rest
    for permit in under_way:
        permit.neutral()
    now += policy.rest
    play(breaker, "+" * policy.probes, now)
    assert breaker.state(now) is CLOSED


# -- the policy ------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("failures", 0),
        ("failures", -1),
        ("failures", 2.5),
        ("probes", 0),
        ("probes", math.inf),
        ("rest", 0),
        ("rest", -1),
        ("rest", math.inf),
        ("rest", math.nan),
    ],
)
def test_a_policy_out_of_range_is_refused(argument: str, value: float) -> None:
    arguments: dict[str, float] = {argument: value}
    with pytest.raises(InvalidArgument, match=f"{argument} of a breaker must be"):
        BreakerPolicy(**arguments)  # type: ignore[arg-type]


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        POLICY.failures = 1  # type: ignore[misc]
