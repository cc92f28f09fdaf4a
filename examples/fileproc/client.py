"""HTTP on asyncio streams, as much as files need. Cancelling a task ends its transfer at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["Client", "TransferError"]

_CHUNK = 64 * 1024
_OK = 200
_SERVER_FAILED = 500
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TransferError(Exception):
    """A file did not get through. `passing`: it is worth another try."""

    def __init__(self, text: str, *, passing: bool = True) -> None:
        super().__init__(text)
        self.passing = passing


class Client:
    """Transfers files, with a limit of transfers at a time.

    Args:
        host, port: of the server.
        timeout: seconds that a transfer may take.
        at_once: how many transfers; others wait for their turn.
    """

    def __init__(self, host: str, port: int, *, timeout: float, at_once: int = 8) -> None:
        self._address = host, port
        self._timeout = timeout
        self._turns = asyncio.Semaphore(at_once)

    async def download(self, name: str, target: Path) -> int:
        """Write a file of the server to `target`, whole or not at all; its size.

        Raises:
            TransferError: it did not get through.
        """
        part = target.with_name(f"{target.name}.part")
        try:
            async with self._request(f"GET /files/{name}") as (reader, _):
                size = await _read_head(reader)
                with part.open("wb") as file:
                    left = size
                    while left:
                        chunk = await reader.read(min(left, _CHUNK))
                        if not chunk:
                            raise TransferError(
                                f"cut off {left:,} of {size:,} bytes before the end"
                            )
                        file.write(chunk)
                        left -= len(chunk)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size

    async def upload(self, name: str, source: Path) -> str:
        """Send a file; the digest of what the server has got.

        Raises:
            TransferError: it did not get through, or arrived as something else.
        """
        body = await asyncio.to_thread(source.read_bytes)
        async with self._request(f"PUT /results/{name}", len(body)) as (reader, writer):
            writer.write(body)
            await writer.drain()
            digest = (await reader.readexactly(await _read_head(reader))).decode()
        if digest != hashlib.sha256(body).hexdigest():
            raise TransferError("the server has got something else")
        return digest

    @asynccontextmanager
    async def _request(self, line: str, size: int = 0) -> AsyncIterator[_Streams]:
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout):
                    reader, writer = await asyncio.open_connection(*self._address)
                    try:
                        writer.write(f"{line} HTTP/1.0\r\nContent-Length: {size}\r\n\r\n".encode())
                        yield reader, writer
                    finally:
                        writer.close()
            except TimeoutError:
                raise TransferError(f"not done after {self._timeout:g} s") from None
            except asyncio.IncompleteReadError:
                raise TransferError("cut off") from None
            except OSError as error:
                raise TransferError(error.strerror or str(error)) from error


async def _read_head(reader: asyncio.StreamReader) -> int:
    """Length of the body that follows, in bytes."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *fields = head.splitlines()
    _, code, reason = status.split(" ", 2)
    if int(code) != _OK:
        raise TransferError(f"{code} {reason}", passing=int(code) >= _SERVER_FAILED)
    lengths = (field for field in fields if field.lower().startswith("content-length:"))
    return int(next(lengths).partition(":")[2])
