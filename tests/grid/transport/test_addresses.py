"""Addresses are split, and the one to give out is chosen, before any I/O."""

import pytest

from grid.errors import InvalidAddress, UnspecifiedAddress
from grid.transport.addresses import advertised_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("dns:///host:1", ("host", 1)),
    ],
)
def test_addresses_are_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "host", ":80", "::1:80", "host:", "host:x", "host:65536"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddress):
        split_address(address)


@pytest.mark.parametrize("listen", ["0.0.0.0:7777", "[::]:7777"])
def test_listening_everywhere_needs_an_address_to_advertise(listen: str) -> None:
    with pytest.raises(UnspecifiedAddress, match="unspecified net address ip"):
        advertised_address(listen, None, 7777, "127.0.0.1:2379")
    with pytest.raises(UnspecifiedAddress):
        advertised_address(listen, "0.0.0.0:7777", 7777, "127.0.0.1:2379")


@pytest.mark.parametrize(
    ("listen", "advertise", "expected"),
    [
        ("127.0.0.1:0", None, "127.0.0.1:7001"),
        ("[::1]:0", None, "[::1]:7001"),
        ("0.0.0.0:0", "peer-1", "peer-1:7001"),
        ("0.0.0.0:0", "peer-1:9000", "peer-1:9000"),
        ("0.0.0.0:0", "peer-1:0", "peer-1:7001"),
        ("0.0.0.0:0", "[fd00::1]", "[fd00::1]:7001"),
        ("0.0.0.0:0", "auto", "127.0.0.1:7001"),
        ("0.0.0.0:0", "auto:9000", "127.0.0.1:9000"),
    ],
)
def test_the_advertised_address_is_what_others_dial(
    listen: str, advertise: str | None, expected: str
) -> None:
    assert advertised_address(listen, advertise, 7001, "127.0.0.1:2379") == expected
