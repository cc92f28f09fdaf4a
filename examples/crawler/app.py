"""The grid side: a frontier that survives its peer, a crawler on each, an actor for each host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grid
from examples.crawler.site import fetch, links_of, name_of
from grid.errors import GridError
from grid.state import EtcdStore

__all__ = ["PAUSE", "Frontier", "Page", "Seeds", "Since", "server"]

PAUSE = 0.01  # seconds that a host is left alone after each page
_LANES = 4  # pages under way at each crawler

server = grid.Server("crawler", lease=2.0)
server.provide(EtcdStore(), enter=True)


@dataclass
class Seeds:
    urls: list[str]


@dataclass
class Since:
    """The number of the last page that a follower has."""

    number: int


@dataclass
class Url:
    url: str


@dataclass
class Text:
    text: str


@grid.register
@dataclass
class Read:
    """A page as a crawler has read it."""

    links: list[str]
    crawler: str


@dataclass
class Page:
    """A page that was crawled, with its number among them, from 1 on."""

    number: int
    url: str
    crawler: str


@grid.register
@dataclass
class Book:
    """Addresses in the order in which they were seen, and the pages of some."""

    seen: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)


@server.actor("leader")
class Frontier:
    """Gives each address to one crawler, and each page to those who follow."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[str] = asyncio.Queue()
        self.saved = 0  # pages
        self.changed = asyncio.Event()

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.state = ctx.state
        self.book = await ctx.state.load(Book) or Book()
        self.saved = len(self.book.pages)
        self.seen = set(self.book.seen)
        for url in self.seen - {page.url for page in self.book.pages}:
            self.waiting.put_nowait(url)

    @grid.handler
    async def begin(self, seeds: Seeds) -> None:
        self.take_in(seeds.urls)
        await self.state.save(self.book)

    @grid.handler
    async def crawl(self, hello: grid.EchoMsg, stream: grid.Stream) -> None:
        """Serve one lane of a crawler: an address, its page, the next address."""
        while True:
            url, read = await self.waiting.get(), None
            try:
                await stream.send(Url(url))
                read = await stream.receive(Read)
            finally:
                if read is None:  # the crawler has left
                    self.waiting.put_nowait(url)
            if read is None:
                return
            self.take_in(read.links)
            page = Page(len(self.book.pages) + 1, url, read.crawler)
            self.book.pages.append(page)
            await self.state.save(self.book)
            self.saved = max(self.saved, page.number)
            self.changed.set()
            self.changed = asyncio.Event()

    @grid.handler
    async def follow(self, since: Since) -> AsyncIterator[Page]:
        """The pages after a number, until there are no more."""
        number = since.number
        while True:
            changed = self.changed
            for page in self.book.pages[number : self.saved]:
                yield page
                number = page.number
            if number == len(self.book.seen):
                return
            await changed.wait()

    def take_in(self, urls: list[str]) -> None:
        for url in urls:
            if url not in self.seen:
                self.seen.add(url)
                self.book.seen.append(url)
                self.waiting.put_nowait(url)


@server.actor("host", activate=True, idle=60.0)
class Host:
    """Fetches pages of one host: one at a time, and leaves it alone after each."""

    def __init__(self) -> None:
        self.free_at = 0.0

    @grid.handler
    async def fetch(self, page: Url) -> Text:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.free_at - loop.time())
        try:
            return Text(await fetch(page.url))
        finally:
            self.free_at = loop.time() + PAUSE


@server.actor("crawler", keep="each-peer", restart="on-failure")
async def crawler(ctx: grid.ActorContext) -> None:
    """Reads pages for the frontier, in a few lanes."""
    async with asyncio.TaskGroup() as lanes:
        for _ in range(_LANES):
            lanes.create_task(_lane(ctx))


async def _lane(ctx: grid.ActorContext) -> None:
    frontier = ctx.client.actor(Frontier, "leader")
    while True:
        try:
            async with frontier.crawl(grid.EchoMsg(msg=ctx.name)) as stream:
                async for order in stream.items(Url):
                    host = ctx.client.actor(Host, f"host-{name_of(order.url)}")
                    page = await host.fetch(order, idempotent=True, wait=True)
                    await stream.send(Read(links_of(order.url, page.text), ctx.name))
        except GridError as error:  # the frontier moves to another peer, or the host does
            ctx.log.info("a lane opens again: %s", error)
            await asyncio.sleep(0.1)
