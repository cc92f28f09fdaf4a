"""The crawl from its start to its end: `python -m examples.crawler --help`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

import grid
from examples.crawler.app import PAUSE, Frontier, Page, Seeds, Since
from examples.crawler.site import Sites
from examples.failover import kill_two
from examples.progress import progress_of
from examples.stage import Stage, exit_code, open_stage

_EARLY = 0.002  # seconds that a timer of an event loop may be early

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    peers: Annotated[int, typer.Option(min=1, help="Number of peers.")] = 4,
    hosts: Annotated[int, typer.Option(min=1, help="Number of hosts.")] = 4,
    pages: Annotated[int, typer.Option(min=1, help="Number of pages of each host.")] = 100,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the leader's peer and another one half way.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the peers log.")] = False,
) -> None:
    """Crawl sites on a grid of peers.

    Ends with status 0 only if the client was given each page exactly once.
    """
    if kill and peers < 3:
        raise typer.BadParameter("two of them are killed: --peers 3 at least")
    console, sites = Console(highlight=False), Sites(hosts=hosts, pages=pages)
    raise typer.Exit(exit_code(_run(peers, sites, kill, verbose, console)))


async def _run(peers: int, sites: Sites, kill: bool, verbose: bool, console: Console) -> bool:
    stage = open_stage(
        "examples.crawler.app:server",
        "crawler",
        peers=peers,
        lease=2.0,
        console=console,
        verbose=verbose,
        # A name may be on its way to another peer: it is asked for until the timeout.
        timeout=20.0,
        retry=grid.Retry(attempts=None),
    )
    async with sites, stage as running:
        crawled = await _crawl(running, sites, kill, console)
    return _verify(crawled, sites, console)


async def _crawl(stage: Stage, sites: Sites, kill: bool, console: Console) -> list[Page]:
    halfway = asyncio.Event()
    crawled: list[Page] = []
    total = len(sites.urls)

    with progress_of(console, "crawling", "crawled", "pages", total) as advance:

        def take(page: Page) -> None:
            crawled.append(page)
            advance()
            if 2 * len(crawled) >= total:
                halfway.set()

        async def kill_half_way() -> None:
            await halfway.wait()
            await kill_two(stage, console)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_follow(stage.client, sites.seeds, take))
            if kill:
                tasks.create_task(kill_half_way())
    return crawled


async def _follow(client: grid.Client, seeds: list[str], take: Callable[[Page], None]) -> None:
    frontier = client.actor(Frontier, "leader")
    await frontier.begin(Seeds(seeds), idempotent=True)
    # The frontier may move to another peer: it is followed there, after the last page.
    async with client.subscribe(
        frontier.follow, Since(0), resume=lambda last: Since(last.number)
    ) as pages:
        async for page in pages:
            take(page)


def _verify(crawled: list[Page], sites: Sites, console: Console) -> bool:
    crawlers = Counter(page.crawler for page in crawled)
    for name, count in sorted(crawlers.items()):
        console.print(f"{name}: {count} pages")
    again = sum(count - 1 for count in sites.fetched.values())
    console.print(f"fetched again, since their peer was killed: {again} pages")
    console.print(f"shortest pause of a host: {1000 * sites.shortest_pause:.1f} ms")
    polite = not sites.crowds and sites.shortest_pause >= PAUSE - _EARLY
    if not polite:
        console.print("[red]✗ a host was not left alone[/]")
    times = Counter(page.url for page in crawled)
    exact = times == Counter(sites.urls)
    if exact:
        console.print(f"[green]✓[/] {len(times)} of {len(sites.urls)} pages crawled exactly once")
    else:
        console.print(f"[red]✗ missing: {len(set(sites.urls) - set(times))} pages[/]")
    return exact and polite


if __name__ == "__main__":
    app()
