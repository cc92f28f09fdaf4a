"""Servers: one peer of a grid, its actors and its life."""

from __future__ import annotations

from grid.server.config import ServerConfig
from grid.server.server import Server

__all__ = ["Server", "ServerConfig"]
