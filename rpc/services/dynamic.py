"""Services without generated code: a specification from the descriptors that a server gives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from grid.deadline import now
from grid.errors import GridError
from grid.etcd import EtcdClient
from grid.registry.names import group_key
from grid.registry.registration import MalformedRegistration, decode_registration
from rpc.buses.bus import DirectBus
from rpc.buses.members import SERVER, TOPICAL, Member, parse_path
from rpc.generator.names import module_name
from rpc.generator.reading import read_file, read_messages
from rpc.service_pb2 import Call, Reply
from rpc.services.errors import AllUnreachable, MalformedResult, NoServers
from rpc.services.specification import MethodSpec, Routing, ServiceSpec

__all__ = ["DynamicService", "ServiceListing", "fetch_service", "list_services"]


@dataclass(slots=True)
class ServiceListing:
    """A service that is served in a namespace.

    Attributes:
        name: its full name.
        servers: the ids of its servers.
        peers: their peers.
        methods: the methods that are served for any topic or none.
        topics: the paths of its topics in etcd; shards do not tell theirs.
    """

    name: str
    servers: set[str] = field(default_factory=set)
    peers: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)


async def list_services(etcd: EtcdClient, namespace: str) -> list[ServiceListing]:
    """All services with servers, in the order of their names.

    Raises:
        EtcdError: etcd does not answer.
    """
    base = group_key(namespace, "")
    found: dict[str, ServiceListing] = {}
    for stored in (await etcd.get_prefix(base)).items:
        try:
            registered = decode_registration(stored)
        except MalformedRegistration:
            continue
        path = stored.key.removeprefix(base)
        member = parse_path(path, registered.types, peer=registered.peer)
        if member is None or member.role not in (SERVER, TOPICAL):
            continue
        listing = found.setdefault(member.service, ServiceListing(member.service))
        listing.servers.add(member.server)
        listing.peers.add(member.peer)
        listing.methods |= member.methods
        if member.topic != "-":
            listing.topics.add(member.topic)
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True, slots=True)
class DynamicService:
    """A service as its server describes it.

    Attributes:
        spec: its specification.
        pool: the descriptors of its messages.
    """

    spec: ServiceSpec
    pool: descriptor_pool.DescriptorPool


async def fetch_service(bus: DirectBus, service: str, timeout: float) -> DynamicService:
    """Ask a server of a service for its descriptors.

    Raises:
        NoServers, AllUnreachable: there is no server, or none answers within the timeout.
        MalformedResult: what it answers are no descriptors.
    """
    table = await bus.members(service, fresh=True)
    members = [one for one in table if one.role == SERVER]
    if not members:
        raise NoServers(f"{service}: no server is registered")
    until = now() + timeout
    failure: Exception | None = None
    for asked, member in enumerate(members):
        share = max(0.0, until - now()) / (len(members) - asked)  # one that hangs leaves the rest
        try:
            described = await _describe(bus, member, share)
        except (GridError, TimeoutError) as error:
            failure = error
            continue
        try:
            return DynamicService(*_specification(service, described))
        except (DecodeError, TypeError, ValueError, LookupError) as error:
            text = f"{service}: {member.server} does not answer with descriptors: {error}"
            raise MalformedResult(text, members=[member.server]) from error
    raise AllUnreachable(
        f"{service}: no server describes it: {failure}", members=[one.server for one in members]
    )


async def _describe(bus: DirectBus, member: Member, timeout: float) -> bytes:
    async with asyncio.timeout(timeout + 1):
        reply = await bus.send(member.id, Call(kind=Call.DESCRIBE), timeout)
    return reply.payload if isinstance(reply, Reply) else b""


def _specification(
    service: str, described: bytes
) -> tuple[ServiceSpec, descriptor_pool.DescriptorPool]:
    files = descriptor_pb2.FileDescriptorSet.FromString(described).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    package, _, name = service.rpartition(".")
    home = _home(files, package, name)
    if home is None:
        raise NoServers(f"{service}: its servers have no descriptors of it")
    modules = [module_name(file.name) for file in files]
    model = read_file(home, read_messages(files), modules)
    (described_service,) = (one for one in model.services if one.name == name)
    methods = []
    for read, method in zip(described_service.methods, _methods(home, name), strict=True):
        methods.append(
            MethodSpec(
                read.name,
                read.attribute,
                message_factory.GetMessageClass(pool.FindMessageTypeByName(method.input_type[1:])),
                message_factory.GetMessageClass(pool.FindMessageTypeByName(method.output_type[1:])),
                routing=Routing[read.routing],
                topics=read.topics,
                group=read.group,
                single_server=read.single_server,
                subscription=read.subscription,
                stream=read.stream,
            )
        )
    return ServiceSpec(service, tuple(methods)), pool


def _home(
    files: Iterable[descriptor_pb2.FileDescriptorProto], package: str, name: str
) -> descriptor_pb2.FileDescriptorProto | None:
    for file in files:
        if file.package == package and any(one.name == name for one in file.service):
            return file
    return None


def _methods(
    file: descriptor_pb2.FileDescriptorProto, name: str
) -> Iterable[descriptor_pb2.MethodDescriptorProto]:
    return next(one.method for one in file.service if one.name == name)
