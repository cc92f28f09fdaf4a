"""What users get wrong is told at once, by a typed error, and nothing is left behind."""

import socket
from typing import Any

import pytest

import grid
from grid.errors import InvalidActorType, InvalidAddress, InvalidArgument, InvalidName


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# -- configuration --------------------------------------------------------------


@pytest.mark.parametrize("advertise", ["here:there", "", "[::1", "[::]", "auto:x", "a b"])
async def test_an_address_nobody_can_dial_is_refused_before_the_port_is_taken(
    advertise: str,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = grid.Server("t", listen=f"127.0.0.1:{port}", advertise=advertise)
    with pytest.raises((InvalidAddress, InvalidName)):
        await server.start()
    assert is_free(port)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lease": float("nan")}, "lease must be a number of seconds, not nan"),
        ({"lease": float("inf")}, "lease must be a number of seconds, not inf"),
        ({"lease": "10"}, "lease must be a number of seconds, not 10"),
        ({"drain_timeout": -1}, "drain_timeout must be a number of seconds, not -1"),
        ({"drain_timeout": float("nan")}, "drain_timeout must be a number of seconds, not nan"),
        ({"max_message_bytes": 0}, "max_message_bytes must be 1 or more, not 0"),
        ({"on_lease_lost": "weep"}, "on_lease_lost must be 'rejoin' or 'exit', not weep"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_any_io(
    options: dict[str, Any], text: str
) -> None:
    server = grid.Server("t", etcd="127.0.0.1:1", **options)
    with pytest.raises(InvalidArgument, match=text):
        await server.start()


@pytest.mark.parametrize("annotations", ["gpu", [1]])
def test_annotations_are_strings_and_not_the_letters_of_one(annotations: Any) -> None:
    with pytest.raises(InvalidArgument, match="annotations must be a list of strings"):
        grid.Server("t", annotations=annotations)


def test_a_decorator_without_its_type_is_told_at_once() -> None:
    async def act(ctx: grid.ActorContext) -> None: ...

    with pytest.raises(InvalidActorType):
        grid.Server("t").actor(act)  # type: ignore[arg-type]


def test_a_mailbox_of_less_than_nothing_is_told_where_it_is_defined() -> None:
    server = grid.Server("t")
    with pytest.raises(InvalidArgument, match="mailbox must be 0 or more, not -1"):
        server.define("echo", lambda _: None, mailbox=-1)
    with pytest.raises(InvalidArgument, match="mailbox must be 0 or more, not -1"):
        server.actor("echo", mailbox=-1)


def test_variables_that_are_set_to_nothing_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # As compose files do: GRID_ETCD_USER: ${GRID_ETCD_USER:-}
    for name in ("GRID_NAMESPACE", "GRID_ETCD", "GRID_ETCD_USER", "GRID_ETCD_PASSWORD"):
        monkeypatch.setenv(name, "")
    config = grid.Server().config
    assert config.namespace == "default"
    assert config.etcd == grid.etcd.EtcdConfig(("127.0.0.1:2379",))
