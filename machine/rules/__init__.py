"""What a mutation comes to: kinds, relations, order, steps; pure functions."""
