"""Payloads are checked, cut and put together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grid
from grid.errors import InvalidArgument
from machine import Machine
from rpc.machine_pb2 import Payload as Piece
from rpc.machines.client import Client
from rpc.machines.errors import NotPlainData, PayloadTooLarge, ProtocolError
from rpc.machines.payloads import PIECE, Assembler, Payload, Progress, pieces_of
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA


@given(st.lists(st.integers(0, 3 * PIECE), min_size=1, max_size=4), st.randoms())
def test_payloads_arrive_whole_however_their_pieces_mix(sizes: list[int], random: object) -> None:
    sent = [Payload(f"p{at}", bytes([at]) * size, {"at": str(at)}) for at, size in enumerate(sizes)]
    on_the_way = [list(pieces_of(at, one)) for at, one in enumerate(sent)]
    assembler = Assembler(4 * 3 * PIECE)
    came = []
    while any(on_the_way):
        pieces = random.choice([one for one in on_the_way if one])  # type: ignore[attr-defined]
        progress, whole = assembler.take(pieces.pop(0))
        assert 0 <= progress.done <= progress.size
        if whole is not None:
            came.append(whole)
    assert sorted(came, key=lambda one: one.name) == sent


def test_a_payload_over_the_limit_is_refused_at_its_first_piece() -> None:
    assembler = Assembler(100)
    with pytest.raises(PayloadTooLarge, match="101 bytes"):
        assembler.take(next(pieces_of(1, Payload("big", bytes(101)))))


def test_unfinished_payloads_count_together() -> None:
    assembler = Assembler(PIECE * 3)
    assembler.take(next(pieces_of(1, Payload("one", bytes(PIECE * 2)))))
    with pytest.raises(PayloadTooLarge):
        assembler.take(next(pieces_of(2, Payload("two", bytes(PIECE * 2)))))
    assert assembler.drop(1) == "one"
    assembler.take(next(pieces_of(3, Payload("three", bytes(PIECE * 2)))))


@pytest.mark.parametrize(
    "piece",
    [
        Piece(id=1, data=b"x"),
        Piece(id=1, name="n", size=1, data=b"xy"),
        Piece(id=1, name="n", size=3, data=b"xy", last=True),
    ],
)
def test_pieces_that_do_not_fit_are_refused(piece: Piece) -> None:
    with pytest.raises(ProtocolError):
        Assembler(100).take(piece)


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (None, InvalidArgument, "payload must be an rpc.Payload, not None"),
        (Payload("", b"x"), InvalidArgument, "the name of a payload must be a text"),
        (Payload("photo", "x"), NotPlainData, "'photo' are of type str, not bytes"),  # type: ignore[arg-type]
        (Payload("half \udcff", b"x"), NotPlainData, "cannot be sent: .* surrogates"),
        (Payload(5, b"x"), NotPlainData, "payload 5 cannot be sent"),  # type: ignore[arg-type]
        (Payload("photo", b"x", {"by": 5}), NotPlainData, "cannot be sent"),  # type: ignore[dict-item]
    ],
)
async def test_payloads_that_cannot_be_sent_are_refused_where_they_are_given(
    grid_server: grid.Server,
    grid_client: grid.Client,
    payload: Any,
    kind: type[Exception],
    text: str,
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with (
        Server(machine, grid_server) as server,
        Client[Any](grid_client, "lights") as client,
    ):
        for send in (client.send_payload, server.send_payload):
            with pytest.raises(kind, match=text):
                await send(payload)
        await client.send_payload(Payload("photo", b"x"))


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, SystemExit])
async def test_an_observer_of_progress_that_raises_ends_nothing(
    grid_server: grid.Server, grid_client: grid.Client, error: type[BaseException]
) -> None:
    got: list[str] = []

    def progress(_: Progress) -> None:
        raise error("in the observer")

    machine = Machine(SCHEMA, id="lights")
    async with (
        Server(machine, grid_server) as server,
        Client[Any](
            grid_client, "lights", on_payload=lambda one: got.append(one.name), on_progress=progress
        ) as client,
    ):
        await server.send_payload(Payload("photo", b"x"))
        assert got == ["photo"]
        assert (await client.machine.add("A")).executed
