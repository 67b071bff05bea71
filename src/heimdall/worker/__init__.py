"""Runs jobs: the loop that starts their processes, and what happens inside one."""
