"""What Alembic runs: it works on the connection it is given and never opens one itself."""

from alembic import context

from heimdall.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
