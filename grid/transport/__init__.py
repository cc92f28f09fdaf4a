"""The way of messages between processes; nothing here knows of actors.

`protocol` is a session, as a pure object, with its parts `_inbox`, `_outbox` and the modules
that these use; `link` ties it to time and to the callers that wait, and a `wire` carries its
frames: `_grpc_wire` or, within a host, `_socket_wire`. `pool` has the sessions to one address,
`transport` the pools, `breaker_transport` their breakers. `service` is the side that is
dialled; it gives requests to a `request_handler` and bounds the bytes of all its sessions by a
`budget`. `unary` asks peers without sessions by single gRPC calls. `failures` and `error_codec`
carry errors. The page "How messages travel" of the manual describes all of it.
"""
