"""The supervisor: it keeps the pools of all kinds alive, and grants their workers to clients."""
