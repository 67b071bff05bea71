"""Follows event logs and shows them live: sockets and server-sent events."""
