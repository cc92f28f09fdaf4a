"""Machines and services over the grid."""
