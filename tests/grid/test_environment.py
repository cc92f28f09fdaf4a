"""The configuration of etcd for commands: options, variables, and what does not fit together."""

from pathlib import Path

import pytest

from grid.environment import command_etcd
from grid.errors import InvalidAddress, InvalidArgument


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_ETCD", "10.0.0.1:2379")
    monkeypatch.setenv("GRID_ETCD_USER", "ann")
    monkeypatch.setenv("GRID_ETCD_PASSWORD", "secret")
    monkeypatch.setenv("GRID_ETCD_CA", "")  # not set


def test_options_stand_before_variables() -> None:
    config = command_etcd(None, timeout=10.0)
    assert config.endpoints == ("10.0.0.1:2379",)
    assert (config.user, config.password, config.ca) == ("ann", "secret", None)
    assert config.timeout == 3.0
    config = command_etcd("a:1,b:2", timeout=0.5, user="kim", ca=Path("ca.pem"))
    assert config.endpoints == ("a:1", "b:2")
    assert (config.user, config.password) == ("kim", "secret")
    assert config.tls
    assert config.timeout == 0.5


def test_options_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRID_ETCD_PASSWORD")
    with pytest.raises(InvalidArgument, match=r"user and password go together.*just user"):
        command_etcd(None, timeout=10.0)
    with pytest.raises(InvalidAddress):
        command_etcd("nowhere", timeout=10.0, password="x")  # noqa: S106
