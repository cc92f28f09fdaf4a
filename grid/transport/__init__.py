"""How deliveries travel between processes: gRPC, and nothing that knows of actors."""
