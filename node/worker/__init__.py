"""Workers: their definitions, the jobs that they run, and their processes."""
