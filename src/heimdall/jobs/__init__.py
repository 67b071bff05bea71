"""What one can do with jobs and datasets. Only this and the worker's own writes change a status, through the store."""
