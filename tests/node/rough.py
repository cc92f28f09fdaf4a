"""A peer with rough jobs, run by the `grid` command."""

from __future__ import annotations

import grid
from tests.node.kit import offer

peer = grid.Server(lease=2.0)
offer(peer, "rough", min=1, max=1)
