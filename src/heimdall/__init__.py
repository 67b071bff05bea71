"""Heimdall: a self-hosted service that runs, watches, pauses and recovers model-training jobs."""

__version__ = "0.1.0"
