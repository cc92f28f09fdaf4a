"""Files as payloads."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path

from rpc.machines.payloads import Payload

__all__ = ["read_payload", "save_payload"]


async def read_payload(path: str | Path, metadata: Mapping[str, str] | None = None) -> Payload:
    """The content of a file, under its name without folders, read in a thread.

    Args:
        path: of the file.
        metadata: for the receiver.

    Raises:
        OSError: the file cannot be read.
    """
    file = Path(path)
    data = await asyncio.to_thread(file.read_bytes)
    return Payload(file.name, data, dict(metadata or {}))


async def save_payload(payload: Payload, path: str | Path) -> None:
    """Write the bytes of a payload into a file, in a thread; its name is not used.

    Args:
        payload: the payload.
        path: of the file; it is there whole, or as it was before.

    Raises:
        OSError: the file cannot be written.
    """
    await asyncio.to_thread(_replace, Path(path), payload.data)


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
