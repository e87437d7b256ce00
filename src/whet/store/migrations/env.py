"""Runs the migrations on the connection that `whet.store.migrate` hands over, within its transaction."""

from alembic import context

from whet.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,  # of SQLite's, too: its driver is told when to begin
)
with context.begin_transaction():
    context.run_migrations()
