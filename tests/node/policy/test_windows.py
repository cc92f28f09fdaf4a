"""The number of jobs sent ahead follows the time that they take."""

from __future__ import annotations

from node.policy.windows import Window


def after(*seconds: float, concurrency: int = 1) -> Window:
    window = Window(concurrency)
    for one in seconds:
        window.in_flight += 1
        window.done(one)
    return window


def test_the_first_job_goes_alone() -> None:
    assert Window().size == 1
    assert Window(concurrency=8).size == 8


def test_short_jobs_are_sent_ahead_and_long_ones_are_not() -> None:
    assert after(0.00001).size == 256
    assert after(0.001).size == 21
    assert after(0.1).size == 1
    assert after(0.1, concurrency=8).size == 8


def test_one_long_job_ends_the_sending_ahead() -> None:
    assert after(0.001, 0.001, 0.1).size == 1


def test_room_is_what_is_not_in_flight() -> None:
    window = after(0.001)
    window.in_flight = 20
    assert window.room == 1
    window.in_flight = 30
    assert window.room == 0


def test_one_job_more_is_at_hand_behind_those_that_are_not_too_long() -> None:
    assert not Window().takes_one_ahead
    window = after(0.1)
    window.in_flight = 1
    assert window.room == 0
    assert window.takes_one_ahead
    window.in_flight = 2
    assert not window.takes_one_ahead
    assert not after(3.0).takes_one_ahead
    many = after(0.1, concurrency=8)
    many.in_flight = 8
    assert many.takes_one_ahead


def test_a_worker_that_runs_several_jobs_at_once_gets_more() -> None:
    window = after(0.1)
    window.widen(5)
    assert (window.size, window.idle) == (5, 5)
    window.in_flight = 4
    assert window.idle == 1
    window.in_flight = 6
    assert window.idle == 0
