"""A refusal by a breaker is no attempt, and is tried again only when that can help."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from grid.client.retry import Retry, may_resend, resend
from grid.deadline import Deadline
from grid.errors import (
    BreakerOpen,
    EtcdUnavailable,
    GridError,
    OutcomeUnknown,
    PeerNotServing,
    PeerUnreachable,
)

ADDRESS = "10.0.0.1:7000"
UNREACHABLE = PeerUnreachable(ADDRESS, "refused")


def refused(seconds: float = 0.05) -> BreakerOpen:
    return BreakerOpen(ADDRESS, "open", seconds)


def attempts(*ends: GridError | str) -> tuple[Callable[[], Awaitable[str]], list[float]]:
    """An attempt that ends as told, one after the other, and when each was made."""
    left, made = list(ends), list[float]()

    async def attempt() -> str:
        made.append(time.monotonic())
        end = left.pop(0)
        if isinstance(end, GridError):
            raise end
        return end

    return attempt, made


@pytest.mark.parametrize(
    ("policy", "wait", "again"),
    [
        (Retry(), False, False),
        (Retry(), True, True),
        (Retry(attempts=1), True, True),
        (Retry(attempts=None), False, True),
    ],
)
def test_only_the_patient_are_sent_again(policy: Retry, wait: bool, again: bool) -> None:
    assert may_resend(refused(), policy, idempotent=True, wait=wait) is again


async def test_what_may_have_arrived_once_does_not_end_as_not_delivered() -> None:
    lost = OutcomeUnknown("the connection broke")
    policy = Retry(attempts=3, first_pause=0.001)
    away = EtcdUnavailable("no endpoint answers")
    for ends in ((UNREACHABLE, UNREACHABLE), (lost, UNREACHABLE), (away, away), (lost, away)):
        attempt, made = attempts(*ends)
        after = UNREACHABLE if lost in ends else lost
        with pytest.raises(OutcomeUnknown, match=r"may have arrived.*(refused|no endpoint)"):
            await resend(
                attempt, policy, Deadline.after(5), idempotent=True, wait=False, after=after
            )
        assert len(made) == 2
    attempt, _ = attempts(UNREACHABLE, UNREACHABLE)
    with pytest.raises(PeerUnreachable):
        await resend(
            attempt, policy, Deadline.after(5), idempotent=True, wait=False, after=UNREACHABLE
        )


async def test_refusals_use_up_no_attempts_and_are_waited_for() -> None:
    policy = Retry(attempts=2, first_pause=0.001)
    attempt, made = attempts(refused(), refused(), "reply")
    began = time.monotonic()
    reply = await resend(
        attempt, policy, Deadline.after(5), idempotent=False, wait=True, after=refused()
    )
    assert reply == "reply"
    pauses = [b - a for a, b in zip([began, *made], made, strict=False)]
    assert len(pauses) == 3
    assert min(pauses) > 0.049


async def test_attempts_that_were_made_count_among_refusals() -> None:
    policy = Retry(attempts=3, first_pause=0.001)
    attempt, made = attempts(refused(), UNREACHABLE, refused(0.01), UNREACHABLE, "not reached")
    with pytest.raises(PeerUnreachable):
        await resend(
            attempt, policy, Deadline.after(5), idempotent=False, wait=True, after=UNREACHABLE
        )
    assert len(made) == 4


async def test_a_rest_beyond_the_deadline_is_not_waited_for() -> None:
    policy = Retry(attempts=None)
    attempt, made = attempts(refused(30.0), "not reached")
    began = time.monotonic()
    for after, count in ((refused(30.0), 0), (UNREACHABLE, 1)):
        with pytest.raises(BreakerOpen):
            await resend(
                attempt, policy, Deadline.after(5), idempotent=False, wait=False, after=after
            )
        assert len(made) == count
    assert time.monotonic() - began < 4


async def test_who_is_not_patient_gets_the_refusal_at_once() -> None:
    attempt, made = attempts(refused(0.01), "not reached")
    with pytest.raises(BreakerOpen):
        await resend(
            attempt, Retry(), Deadline.after(5), idempotent=True, wait=False, after=UNREACHABLE
        )
    assert len(made) == 1


@pytest.mark.parametrize(("seconds", "reason"), [(0.2, PeerNotServing), (1.0, EtcdUnavailable)])
async def test_a_look_up_that_the_deadline_cuts_hides_the_reason_only_if_it_had_time(
    seconds: float, reason: type[GridError]
) -> None:
    deadline = Deadline.after(seconds)

    async def attempt() -> str:
        await asyncio.sleep(deadline.remaining())
        raise EtcdUnavailable("etcd: resolving 's': no answer")

    with pytest.raises(reason):
        await resend(
            attempt,
            Retry(),
            deadline,
            idempotent=False,
            wait=False,
            after=PeerNotServing("p", "draining"),
        )
