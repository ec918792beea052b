"""Alembic's entry: every migration in its own transaction, under a lock time-out, recorded in `messaging.schema_version`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

url = context.config.get_main_option("sqlalchemy.url")
if url is None:
    raise RuntimeError("no database address was handed to the migrations")
engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    connection.execute(text("set lock_timeout = '5s'"))
    connection.execute(text("create schema if not exists messaging"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=None,
        version_table="schema_version",
        version_table_schema="messaging",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
