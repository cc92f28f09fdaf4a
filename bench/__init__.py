"""Measurements of the grid, each figure beside a yardstick from the same run.

    python -m bench [request] [names] [failover] [local] [--quick] [--json FILE]

Parts: one module for each subject; `roles` are the processes that are measured;
`processes` starts them and reads their CPU time; `model` holds the figures,
`report` and `picture` show them.
"""
