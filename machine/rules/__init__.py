"""The rules: kinds of mutations, their resolution by relations, order, steps; pure functions."""
