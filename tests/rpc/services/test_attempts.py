"""The attempts of a call that failed: when a look into the directory may bring another server."""

from __future__ import annotations

import math

import pytest

from grid.errors import (
    BreakerOpen,
    GridError,
    MailboxClosed,
    PeerBusy,
    PeerNotServing,
    ReceiverBusy,
    UnknownMailbox,
)
from rpc.buses.members import SERVER, Member
from rpc.services.calls import Outgoing
from rpc.services.errors import AllDeclined, NoServers
from rpc.services.failures import Attempts

CALL = Outgoing("Shop.Buy", "Buy", (), b"", None, math.inf, 1.0)


def member(server: str) -> Member:
    return Member(f"Shop-{server}-0", "Shop", SERVER, "-", frozenset({"Buy"}), server=server)


def attempts(*errors: GridError) -> Attempts:
    made = Attempts("Shop", CALL)
    for number, error in enumerate(errors):
        made.failed(member(str(number)), error)
    return made


LEFT = [MailboxClosed("m"), PeerNotServing("p", "draining"), UnknownMailbox("m")]
BUSY = [ReceiverBusy("m", 1), PeerBusy(1), BreakerOpen("127.0.0.1:1")]


@pytest.mark.parametrize("error", LEFT, ids=lambda one: type(one).__name__)
def test_a_server_that_leaves_may_have_a_successor(error: GridError) -> None:
    assert attempts(error).stale
    assert attempts(*BUSY, error).stale


@pytest.mark.parametrize("error", BUSY, ids=lambda one: type(one).__name__)
def test_a_busy_server_is_no_sign_of_another(error: GridError) -> None:
    made = attempts(error)
    assert not made.stale
    assert isinstance(made.error(), AllDeclined)


@pytest.mark.parametrize("error", LEFT, ids=lambda one: type(one).__name__)
def test_a_mailbox_that_has_left_is_forgotten_and_one_that_is_there_is_not(
    error: GridError,
) -> None:
    made = attempts(error)
    made.forget([member("0")])
    assert set(made.tried) == {"0"}
    made.forget([member("1")])
    assert not made.tried
    assert isinstance(made.error(), NoServers)
