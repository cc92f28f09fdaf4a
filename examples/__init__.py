"""Grids and machines to run and to read: `hello` first, then `chat`, `crawler` and `corpus`."""

import os

# gRPC reads these when it is first imported; the first takes a third off a request's time.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
