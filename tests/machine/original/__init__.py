"""Scenarios of the Go implementation: made up at random, recorded, replayed. See README.md."""
