"""Supervisors, worker pools and pool clients."""
