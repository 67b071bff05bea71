"""Finds a transmitter from what several receivers heard of it."""
