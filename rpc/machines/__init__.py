"""Remote machines: a state machine of another process, used as if it were local."""
