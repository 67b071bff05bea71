"""Clients of PostgreSQL that vanish in the middle of a transaction.

Their sessions would keep the rows they locked for as long as the server's system waits for them, two hours on Linux and
for ever behind a proxy that stays, and nobody could take their jobs over.
"""

from sqlalchemy import Connection, text

VANISHED_SECONDS = 10
APPLICATION = "heimdall"  # a backup or an operator's session may take its time
SESSION = {
    "idle_in_transaction_session_timeout": f"{VANISHED_SECONDS}s",
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}
# The time limit above covers only a session at rest between two statements. One that waits for the rest of a COPY, or
# whose client had sent several statements at once (the Flush that psycopg adds disarms the limit), is found by this.
END_VANISHED = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND application_name = :application AND state IN ('active', 'idle in transaction') AND wait_event_type = 'Client'
      AND state_change < clock_timestamp() - make_interval(secs => :seconds)
""")


def end_vanished(connection: Connection) -> None:
    """End our sessions within a transaction whose clients have not been heard for `VANISHED_SECONDS`."""
    if connection.dialect.name == "postgresql":
        connection.execute(END_VANISHED, {"seconds": VANISHED_SECONDS, "application": APPLICATION})
