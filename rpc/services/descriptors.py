"""Descriptors of services, for callers that have no generated code."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from rpc.services.specification import ServiceSpec

__all__ = ["describe"]


def describe(spec: ServiceSpec) -> bytes:
    """A FileDescriptorSet of the service's file and all that it imports, encoded."""
    files = FileDescriptorSet()
    if spec.descriptor is not None:
        _add(spec.descriptor.file, files, set())
    return files.SerializeToString()


def _add(file: Any, files: FileDescriptorSet, there: set[str]) -> None:
    if file.name in there:
        return
    there.add(file.name)
    for one in file.dependencies:
        _add(one, files, there)
    file.CopyToProto(files.file.add())
