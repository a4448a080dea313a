"""Alembic's environment: `store.migrate` runs it on a connection it already holds."""
