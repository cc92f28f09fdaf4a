"""Measurements of the grid, each figure beside a yardstick from the same run.

    python -m bench [request] [names] [failover] [local] [transport] [--quick] [--json FILE]

Parts: one module for each subject, and for `transport` one for each of its parts;
`roles` are the processes that are measured, and so are the functions of other
modules that take orders; `processes` starts them and reads their CPU time, `talk`
is how they are told what to do; `peers` are other systems; `model` holds the
figures, `report` and `picture` show them.
"""
