"""The opening of a stream at its source: the part that a mirror may see, and its welcome."""

from __future__ import annotations

from rpc.machine_pb2 import Hello, Snapshot, Welcome
from rpc.machines.access import Access
from rpc.machines.errors import AccessDenied
from rpc.machines.feed import Projection
from rpc.machines.messages import VERSION, names_hash, schema_hash
from rpc.machines.source import Served, SourceMachine

__all__ = ["projection_for", "welcome_for"]


def projection_for(source: SourceMachine, hello: Hello, access: Access) -> Projection:
    """The part of a machine that a mirror asked for and may see.

    Raises:
        AccessDenied: there is none.
    """
    seen = set(source.visible())
    if access.read is not None:
        seen &= access.read
    if hello.allowed:
        seen.intersection_update(hello.allowed)
    if not seen:
        raise AccessDenied(f"mirror {hello.mirror!r} may see none of these states")
    return Projection.of(source.machine.names, seen, set(hello.skipped), hello.shallow)


def welcome_for(
    machine: Served, hello: Hello, names: tuple[str, ...], snapshot: Snapshot
) -> Welcome:
    """The answer to a hello, without what the mirror says it knows.

    Args:
        machine: the source.
        hello: of the mirror; an empty one knows nothing.
        names: that the mirror sees.
        snapshot: of their clock.
    """
    welcome = Welcome(
        version=VERSION,
        machine=machine.id,
        names_hash=names_hash(names),
        snapshot=snapshot,
        tags=machine.tags,
    )
    if welcome.names_hash != hello.names_hash:
        welcome.names.extend(names)
    # The schema names all states; a mirror that sees a part must not learn of the others.
    if hello.want_schema and len(names) == len(machine.names):
        welcome.schema_hash = schema_hash(machine.schema)
        if welcome.schema_hash != hello.schema_hash:
            welcome.schema = machine.schema.to_json().encode()
    return welcome
