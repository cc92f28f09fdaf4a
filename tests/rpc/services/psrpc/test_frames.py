"""Channels and frames of the psrpc protocol, as a Go program put them on Redis and NATS."""

from __future__ import annotations

import gzip

import pytest

from rpc.buses.bus import Channel
from rpc.buses.members import sanitized
from rpc.psrpc_pb2 import ClaimRequest, ClaimResponse, Envelope, Request, Response, Stream
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, decode_update, encode, encode_update
from tests.rpc.services.greeting_pb2 import Hello

ROCKET = "eu/west 🚀"
CHANNELS = [
    (channels.requests("S", "M", (), queue=True), "S|M|REQ", "SRV.S.Q", "M.REQ"),
    (channels.requests("S", "M", (), queue=False), "S|M|REQ", "SRV.S", "M.REQ"),
    (
        channels.requests("S", "M", ("eu", "west 🚀"), queue=True),
        "S|M|eu|westu+0020U+0001f680|REQ",
        "SRV.S.eu.westu+0020U+0001f680.Q",
        "M.REQ",
    ),
    (channels.requests("S", "M", ("eu", ""), queue=True), "S|M|eu||REQ", "SRV.S.eu.Q", "M.REQ"),
    (channels.requests("S", "M", ("", "w"), queue=True), "S|M|w|REQ", "SRV.S.w.Q", "M.REQ"),
    (channels.grants("S", "M", ()), "S|M|RCLAIM", "SRV.S", "M.RCLAIM"),
    (channels.server_stream("S", "M", ()), "S|M|STR", "SRV.S", "M.STR"),
    (channels.replies("S", "CLI_one"), "S|CLI_one|RES", "CLI.S.CLI_one.RES", ""),
    (channels.bids("S", "CLI_one"), "S|CLI_one|CLAIM", "CLI.S.CLI_one.CLAIM", ""),
    (channels.client_stream("S", "CLI_one"), "S|CLI_one|STR", "CLI.S.CLI_one.STR", ""),
]


@pytest.mark.parametrize(("channel", "name", "subject", "route"), CHANNELS)
def test_channels_have_the_names_of_the_protocol(
    channel: Channel, name: str, subject: str, route: str
) -> None:
    assert (channel.name, channel.subject, channel.route) == (name, subject, route)


def test_parts_of_names_are_sanitized() -> None:
    parts = ("🚀_É", "🛰_bar", "软件", "END")
    assert ".".join(map(sanitized, parts)) == "U+0001f680_u+00c9.U+0001f6f0_bar.u+8f6fu+4ef6.END"


def test_a_recorded_request_is_read_and_written() -> None:
    frame = bytes.fromhex(
        "0a24747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e52657175657374123f0a10524551"
        "5f50584d4d364d7546496c56351207434c495f6f6e6518cd878fa4fc9289f61820cdc3d0ba879389f6183a060a"
        "016b12017642040a02686950011a084563686f2e524551"
    )
    request = decode(frame)
    assert isinstance(request, Request)
    assert (request.request_id, request.client_id) == ("REQ_PXMM6MuFIlV5", "CLI_one")
    assert (request.expiry - request.sent_at, dict(request.metadata)) == (3_000_000_000, {"k": "v"})
    assert (request.raw_request, request.skip_claim) == (b"\n\x02hi", True)
    assert Envelope.FromString(frame).channel == "Echo.REQ"
    assert encode(request, "Echo.REQ") == frame


@pytest.mark.parametrize(
    ("hexadecimal", "message", "route"),
    [
        (
            (
                "0a29747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e436c61696d52657175657374"
                "12200a105245515f4a6b5375356c39663773636d12075352565f74776f1d0000803e"
            ),
            ClaimRequest(request_id="REQ_JkSu5l9f7scm", server_id="SRV_two", affinity=0.25),
            "",
        ),
        (
            (
                "0a2a747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e436c61696d526573706f6e73"
                "65121b0a105245515f4a6b5375356c39663773636d12075352565f6f6e651a0b5069636b2e52434c41494d"
            ),
            ClaimResponse(request_id="REQ_JkSu5l9f7scm", server_id="SRV_one"),
            "Pick.RCLAIM",
        ),
        (
            (
                "0a29747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e436c61696d52657175657374"
                "12230a105245515f6a354176796c4f526673794212085352565f736b69701d0000803f2001"
            ),
            ClaimRequest(
                request_id="REQ_j5AvylORfsyB", server_id="SRV_skip", affinity=1, handling=True
            ),
            "",
        ),
    ],
)
def test_recorded_claims(hexadecimal: str, message: object, route: str) -> None:
    frame = bytes.fromhex(hexadecimal)
    assert decode(frame) == message
    assert encode(message, route) == frame  # type: ignore[arg-type]


def test_a_recorded_answer_that_is_packed_and_one_that_is_a_bomb() -> None:
    frame = bytes.fromhex(
        "0a25747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e526573706f6e7365125e1f8b0800"
        "00096e8800ffe21208720d8c2fcf7073f4712d092dcf0acb14620f0e0a8bafca2c9098fbaafbdff2c99ddf24ac"
        "0e327269381209e0faa5d89d7d3ce3f3f352b52a18060818305a6c11f762714dcec8070c00ff4fa53ce9000000"
        "2001"
    )
    response = decode(frame)
    assert isinstance(response, Response)
    assert (response.request_id, response.server_id) == ("REQ_whFALEtUwjVi", "SRV_zip")
    url = "type.googleapis.com/internal.Response"
    bomb = gzip.compress(bytes(101 * 1024 * 1024), 1)
    for compression, value in ((1, bomb), (1, b"no gzip"), (7, b"")):
        made = Envelope(type_url=url, value=value, compression=compression)  # type: ignore[arg-type]
        assert decode(made.SerializeToString()) is None


def test_a_recorded_stream_closes() -> None:
    frame = bytes.fromhex(
        "0a23747970652e676f6f676c65617069732e636f6d2f696e7465726e616c2e53747265616d124a0a105354525f"
        "723667386d746f525732567812105245515f36397477773467366e53616c18c1d7fc859c9389f61820c193be9c"
        "a79389f6184a100a0362796512096e6f745f666f756e64"
    )
    stream = decode(frame)
    assert isinstance(stream, Stream)
    assert (stream.close.error, stream.close.code) == ("bye", "not_found")
    assert encode(stream) == frame


def test_updates_carry_the_users_type_and_other_frames_are_skipped() -> None:
    frame = encode_update(Hello(text="n"), "News.REQ")
    assert decode_update(frame, "tests.greeting.Hello") == b"\n\x01n"
    assert decode_update(frame, "tests.greeting.Outer") is None
    assert decode(frame) is None
    for broken in (b"", b"\xff", frame[:-3], Envelope(type_url="x").SerializeToString()):
        assert decode(broken) is None
