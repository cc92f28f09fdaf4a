"""The state machine core: relational, many active states, logical clocks."""
