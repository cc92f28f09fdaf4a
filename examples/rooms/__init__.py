"""Rooms on three servers, one of which is killed: `python -m examples.rooms`."""
