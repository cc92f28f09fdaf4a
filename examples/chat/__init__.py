"""Chats in rooms on a grid of peers: each member has each line once, and in order.

    python -m examples.chat
    python -m examples.chat --kill

Read `app` for what runs on the peers: rooms and a town crier, which the leader is. `member` talks
and listens; `__main__` starts it all, and checks what the members have heard.
"""
