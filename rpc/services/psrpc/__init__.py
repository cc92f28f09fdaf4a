"""Services on buses without a directory: the protocol of psrpc v0.8, which Go programs speak."""
