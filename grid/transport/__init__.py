"""How messages travel between processes; nothing here knows of actors.

`protocol` is a session, as a pure object, with `_inbox`, `_outbox` and what
these are made of; `link` ties it to time and to those who wait, and a wire
carries its frames: `_grpc_wire` or, within a host, `_socket_wire`. `pool` has
the sessions to one address, `transport` the pools, `guarded` their breakers.
`service` is the side that is dialled. `unary` asks peers without sessions by
single gRPC calls. The page "How messages travel" of the manual tells all of it.
"""
