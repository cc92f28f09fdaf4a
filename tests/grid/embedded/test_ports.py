"""Ports that nothing else is given while their owner is down."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from grid.embedded import Etcd, ports
from grid.embedded.ports import free_ports
from grid.errors import InvalidArgument


def chosen_by_the_system(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.mark.skipif(not ports._candidates(), reason="the system chooses from all ports")
def test_the_port_of_an_etcd_that_is_down_is_given_to_nothing_else() -> None:
    with Etcd() as etcd:
        port = int(etcd.endpoint.rpartition(":")[2])
    assert port < min(chosen_by_the_system(200))


def test_each_is_free_and_no_other() -> None:
    chosen = free_ports(50)
    assert len(set(chosen)) == 50
    for port in chosen:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("count", [-1, 0, 2.5, "2", True])
def test_a_number_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(InvalidArgument, match="count must be"):
        free_ports(count)


def test_a_seed_does_not_choose_them() -> None:
    found = []
    for _ in range(2):
        random.seed(7)
        found.append(free_ports(5))
    assert found[0] != found[1]


def test_a_taken_one_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken, free) = free_ports(2)
    monkeypatch.setattr(ports, "_candidates", lambda: [taken, free])
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == [free]


@pytest.mark.parametrize("text", ["1024\t65535\n", "", "much"])
def test_whatever_the_system_chooses_itself_there_are_some(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "range"
    told.write_text(text)
    monkeypatch.setattr(ports, "_RANGE", told)
    assert len(set(free_ports(3))) == 3
