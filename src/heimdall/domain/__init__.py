"""What a job is. Standard library only."""
