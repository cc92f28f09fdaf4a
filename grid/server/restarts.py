"""Restarts of actors that ended: a policy, and the pure count that decides by it.

An actor that is started again keeps its name, its epoch and the mailbox of its name, so requests
that wait in it, and those that come meanwhile, are served by the next run. Everything else is
made again by the factory. Pauses grow with the number of restarts within the time that the policy
looks back. The intensity limit is that of OTP
supervisors (https://www.erlang.org/doc/system/sup_princ.html).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from grid.errors import InvalidArgument
from grid.numbers import check_count, check_seconds, check_share

__all__ = ["NEVER", "Restart", "RestartWhen", "Restarts", "restart_policy"]

RestartWhen = Literal["never", "on-failure", "always"]

_WHEN = ("never", "on-failure", "always")


@dataclass(frozen=True, slots=True)
class Restart:
    """The policy by which a peer starts an ended actor again.

    Args:
        when: `"never"`; `"on-failure"`, when it ended by an error; or `"always"`, also when it
            returned. An actor that was stopped, or whose name was lost, stays ended.
        limit: restarts within `within` seconds after which the actor is given up: it ends, and
            its names are freed.
        within: seconds that the limit counts over.
        pause: seconds before the first restart; each further one waits twice as long.
        longest_pause: seconds that a pause takes at most.
        jitter: share of a pause that is left to chance, from 0 to 1.
        requests: those that come between two runs: `"wait"` in the mailbox for the next one,
            or `"fail"` at once with the code `UNAVAILABLE`.

    Raises:
        InvalidArgument: a value is out of its range.
    """

    when: RestartWhen = "on-failure"
    limit: int = 5
    within: float = 60.0
    pause: float = 0.1
    longest_pause: float = 10.0
    jitter: float = 0.2
    requests: Literal["wait", "fail"] = "wait"

    def __post_init__(self) -> None:
        if self.when not in _WHEN:
            raise InvalidArgument("restart", self.when, f"one of {', '.join(_WHEN)}")
        check_count("limit of restarts", self.limit)
        for name in ("within", "pause", "longest_pause"):
            check_seconds(f"{name} of restarts", getattr(self, name))
        check_share("jitter of restarts", self.jitter)
        if self.requests not in ("wait", "fail"):
            raise InvalidArgument("requests of restarts", self.requests, '"wait" or "fail"')


NEVER = Restart("never")


def restart_policy(given: Restart | RestartWhen | None) -> Restart:
    """The policy that an argument stands for; raises `InvalidArgument` for anything else."""
    if given is None:
        return NEVER
    if isinstance(given, str):
        return Restart(given)
    if not isinstance(given, Restart):
        raise InvalidArgument("restart", given, f"a grid.Restart, or one of {', '.join(_WHEN)}")
    return given


class Restarts:
    """The count of one actor's restarts.

    Args:
        policy: when to restart.
        random: a number from 0 to 1, for the jitter.

    Attributes:
        count: restarts so far.
    """

    __slots__ = ("_random", "_recent", "count", "policy")

    def __init__(self, policy: Restart, random: Callable[[], float] = random.random) -> None:
        self.policy: Restart = policy
        self.count: int = 0
        self._random = random
        self._recent: tuple[float, ...] = ()  # a deque would weigh 700 bytes in each actor

    def pause(self, *, failed: bool, at: float) -> float | None:
        """Seconds until the next run; None if the actor stays ended.

        Args:
            failed: whether it ended by an error.
            at: when it ended, in seconds of any clock.
        """
        policy = self.policy
        if policy.when == "never" or (policy.when == "on-failure" and not failed):
            return None
        recent = tuple(one for one in self._recent if one > at - policy.within)
        if len(recent) >= policy.limit:
            return None
        pause = min(policy.pause * 2.0 ** min(len(recent), 64), policy.longest_pause)
        self._recent = (*recent, at)
        self.count += 1
        return pause * (1 - policy.jitter * self._random())
