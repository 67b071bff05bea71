"""What one can do with jobs and datasets; the only code that changes a status."""
