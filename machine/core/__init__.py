"""A machine from the inside: questions, waits, queue, transitions, life."""
