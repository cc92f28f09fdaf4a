"""Clients of pools: claims, workers, and runs of many jobs."""
