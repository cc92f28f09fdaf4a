"""Sites to crawl: a few hosts on this machine, whose pages have links to each other."""

from __future__ import annotations

import asyncio
import random
import re
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

__all__ = ["Sites", "fetch", "links_of", "name_of"]

_LINK = re.compile(r'href="([^"]+)"')
_PATIENCE = 10.0  # seconds for a page


async def fetch(url: str) -> str:
    """The text of a page."""
    return await asyncio.to_thread(_fetch, url)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_PATIENCE) as response:  # noqa: S310 - http, ours
        return str(response.read(), "utf-8")


def links_of(url: str, text: str) -> list[str]:
    """The addresses that a page links to."""
    return [urljoin(url, link) for link in _LINK.findall(text)]


def name_of(url: str) -> str:
    """The host of an address as a name of the grid, which has no dots and colons."""
    return re.sub(r"[^a-z0-9]", "-", urlsplit(url).netloc)


class Sites:
    """HTTP servers of linked pages: `async with Sites(hosts=4, pages=100) as sites:`.

    Each page links to two further ones of its host, so that all are found, and to a few others of
    all hosts.

    Args:
        hosts: how many servers.
        pages: of each.
        seed: of the other links.

    Attributes:
        urls: the addresses of all pages.
        fetched: how often each was fetched.
        crowds: requests to a host that came before the one before them was answered.
        shortest_pause: seconds between an answer of a host and its next request, at least.
    """

    def __init__(self, *, hosts: int, pages: int, seed: int = 1) -> None:
        self.urls: list[str] = []
        self.fetched: Counter[str] = Counter()
        self.crowds = 0
        self.shortest_pause = float("inf")
        self._hosts = hosts
        self._pages = pages
        self._random = random.Random(seed)
        self._servers: list[asyncio.Server] = []
        self._busy: Counter[str] = Counter()
        self._answered: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        for _ in range(self._hosts):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self._servers.append(server)
            root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.urls += [f"{root}/{number}" for number in range(1, self._pages + 1)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()

    @property
    def seeds(self) -> list[str]:
        """The first page of each host."""
        return self.urls[:: self._pages]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A reader whose peer is killed leaves in the midst of it.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        path = head.split(" ", 2)[1]
        host = re.search(r"^host: (\S+)", head, re.IGNORECASE | re.MULTILINE)
        url = f"http://{host[1] if host else ''}{path}"
        self._came(urlsplit(url).netloc)
        self.fetched[url] += 1
        body = self._page(int(path[1:]))
        self._goes(urlsplit(url).netloc)  # before its reader may know
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()

    def _page(self, number: int) -> str:
        near = [one for one in (2 * number, 2 * number + 1) if one <= self._pages]
        links = [f"/{one}" for one in near] + self._random.choices(self.urls, k=3)
        return "".join(f'<a href="{link}">{link}</a>\n' for link in links)

    def _came(self, host: str) -> None:
        if self._busy[host]:
            self.crowds += 1
        elif host in self._answered:
            pause = time.monotonic() - self._answered[host]
            self.shortest_pause = min(self.shortest_pause, pause)
        self._busy[host] += 1

    def _goes(self, host: str) -> None:
        self._busy[host] -= 1
        self._answered[host] = time.monotonic()
