"""Wrong arguments of servers are refused where they are given, in words that say what is wanted."""

from typing import Any

import pytest

import grid
from grid.errors import GridError, InvalidActorType, InvalidArgument


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("namespace", "a.b"),
        ("namespace", 5),
        ("etcd", 5),
        ("etcd", ""),
        ("listen", "x"),
        ("listen", 7777),
        ("advertise", 5),
        ("advertise", ""),
        ("advertise", "a b"),
        ("advertise", "a b:7777"),
        ("name", "a b"),
        ("name", 5),
        ("annotations", "gpu"),
        ("annotations", 5),
        ("annotations", [5]),
        ("lease", 1),
        ("lease", "10"),
        ("lease", True),
        ("lease", float("nan")),
        ("allow_leadership", "no"),
        ("drain_timeout", -1),
        ("drain_timeout", None),
        ("on_lease_lost", "die"),
        ("max_message_bytes", 0),
        ("max_message_bytes", "1"),
        ("max_message_bytes", True),
        ("reflection", "yes"),
        ("unix_socket", "yes"),
        ("compression", "lzma"),
        ("compression", 5),
        ("checksum", 1.5),
        ("filters", 5),
        ("filters", [5]),
        ("interceptors", [5]),
        ("codec", "json"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(name: str, value: Any) -> None:
    with pytest.raises(GridError):
        grid.Server(**{name: value})
    if name not in ("filters", "interceptors", "codec", "etcd"):
        server = grid.Server()
        before = server.config
        with pytest.raises(GridError):
            server.configure(**{name: value})
        assert server.config == before


def test_what_depends_on_other_arguments_is_refused_at_the_start() -> None:
    server = grid.Server(listen="0.0.0.0:0")  # `configure` may say what to advertise
    with pytest.raises(grid.errors.UnspecifiedAddress):
        server.config.check()


def test_definitions_that_cannot_be_are_refused() -> None:
    server = grid.Server()

    async def works(ctx: grid.ActorContext) -> None: ...

    with pytest.raises(InvalidActorType) as refused:
        server.actor(works)  # type: ignore[arg-type] # without brackets
    assert refused.value.__notes__ == ['the type is missing, as in @server.actor("echo")']

    async def takes_nothing() -> None: ...

    class Deaf:
        async def act(self) -> None: ...

    for wrong in (takes_nothing, Deaf):
        with pytest.raises(InvalidArgument, match=r"async def f\(ctx\)"):
            server.actor("deaf")(wrong)
    with pytest.raises(InvalidArgument, match="factory"):
        server.define("works", 5)  # type: ignore[arg-type]
    server.actor("works")(works)
    with pytest.raises(InvalidArgument, match="not defined yet"):
        server.actor("works")
    server.define("works", lambda _: works)  # replaces it
    with pytest.raises(InvalidArgument, match="one of"):
        server.configure(leese=5)
