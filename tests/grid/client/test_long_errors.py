"""The text of an error may be of any length: it costs no more than its own request or stream."""

import asyncio

import pytest

import grid
from grid.errors import GridError, OutcomeUnknown, RequestFailed, StreamClosed
from grid.wire_pb2 import EchoMsg

LENGTHS = [1_100_000, 3_000_000]  # characters: of one frame of a session, and of several
LONG = pytest.mark.parametrize("length", LENGTHS)
WORDS = "no such row: "


class Reporter:
    """An actor whose errors say all that it knows, while other requests wait."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()

    @grid.handler
    async def serve(self, ask: EchoMsg) -> EchoMsg:
        if ask.msg == "wait":
            self.waits.set()
            await self.goes_on.wait()
            return ask
        raise LookupError(WORDS + ask.msg)

    @grid.handler
    async def follow(self, ask: EchoMsg, stream: grid.Stream) -> None:
        if ask.msg == "raise":
            raise LookupError(WORDS + "ä" * LENGTHS[-1])
        if ask.msg == "close":
            await stream.close(WORDS + "\U0001f600" * LENGTHS[-1])
        async for _ in stream:
            pass


class Bystander:
    """A request of the same client to the same peer, from before a block until after it."""

    def __init__(self, client: grid.Client, reporter: Reporter) -> None:
        self._client, self._reporter = client, reporter

    async def __aenter__(self) -> None:
        self._answer = self._client.send("reporter", EchoMsg(msg="wait"), reply=EchoMsg)
        await self._reporter.waits.wait()

    async def __aexit__(self, *_: object) -> None:
        self._reporter.goes_on.set()
        assert await self._answer == EchoMsg(msg="wait")


@pytest.fixture
def client(grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch) -> grid.Client:
    """A client whose requests and streams share a session."""
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    return grid_client


@pytest.fixture
async def reporter(grid_server: grid.Server, client: grid.Client) -> Reporter:
    actor = Reporter()
    grid_server.define("reporter", lambda _: actor, mailbox=8, concurrency=8)
    await client.start_actor("reporter")
    return actor


def _is_cut(text: str, start: str) -> bool:
    """True if a text begins as it should, was shortened, and says so."""
    return start in text[:200] and len(text) < 300_000 and text.endswith(" characters)")


@LONG
async def test_a_long_text_fails_its_own_request(
    client: grid.Client, reporter: Reporter, length: int
) -> None:
    async with Bystander(client, reporter):
        with pytest.raises(RequestFailed) as caught:
            await client.request("reporter", EchoMsg(msg="x" * length))
        assert _is_cut(caught.value.text, WORDS + "xxx")
        assert f"({length + len(WORDS):,} characters)" in caught.value.text[-30:]


@LONG
@pytest.mark.parametrize("kind", [OutcomeUnknown, RequestFailed])
async def test_what_a_long_failure_is_remains(
    client: grid.Client, grid_server: grid.Server, kind: type[GridError], length: int
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        sent = client.send("m", EchoMsg())
        (await anext(mailbox)).fail(kind(WORDS + "y" * length))
        with pytest.raises(RequestFailed) as caught:
            await sent
        assert _is_cut(caught.value.text, WORDS + "yyy")
        if kind is OutcomeUnknown:
            assert isinstance(caught.value.cause, OutcomeUnknown)
            assert _is_cut(str(caught.value.cause), WORDS + "yyy")


@pytest.mark.parametrize("how", ["raise", "close"])
async def test_a_long_reason_of_an_actor_ends_its_own_stream(
    client: grid.Client, reporter: Reporter, how: str
) -> None:
    async with Bystander(client, reporter), client.stream("reporter", EchoMsg(msg=how)) as stream:
        with pytest.raises(StreamClosed) as caught:
            await stream.receive()
        assert _is_cut(str(caught.value), WORDS)


async def test_a_long_reason_of_a_client_ends_its_own_stream(
    client: grid.Client, reporter: Reporter
) -> None:
    async with Bystander(client, reporter):
        stream = await client.stream("reporter", EchoMsg(msg="listen"))
        await stream.close("z" * LENGTHS[-1])
