"""`protoc-gen-grid`: typed clients and servers of services from .proto files.

    protoc -I . -I "$(python -m rpc.generator --include)" \\
        --python_out=. --pyi_out=. --grid_out=. shop.proto

`shop_grid.py` is made beside `shop_pb2.py`. `python -m grpc_tools.protoc` takes the same options.
"""

from __future__ import annotations

from rpc.generator.errors import InvalidOptions
from rpc.generator.plugin import generate, include_folder, main

__all__ = ["InvalidOptions", "generate", "include_folder", "main"]
