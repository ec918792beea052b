"""Forward-only migrations: plain SQL files, run in order by Alembic, safe to call from several processes at once."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool

_HERE = Path(__file__).parent / "migrations"
_LOCK = 0x70696C6F74  # any constant: one migration at a time per database


def run_sql(module_file: str) -> None:
    """Run the `.sql` file that lies beside a migration's module, as one script in the migration's transaction."""
    script = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    connection = op.get_bind().connection.dbapi_connection
    assert isinstance(connection, psycopg.Connection)
    connection.execute(script.encode())


def migrate(database_url: str) -> None:
    """Bring the database to the newest schema. Waits while another process does the same.

    Raises psycopg.Error when a statement fails; the failed migration is rolled back whole, the earlier ones stay.
    """
    with psycopg.connect(database_url, autocommit=True) as guard:
        guard.execute("select pg_advisory_lock(%s)", (_LOCK,))
        command.upgrade(_config(database_url), "head")


def pending(database_url: str) -> tuple[str, ...]:
    """The migrations that this release has and the database has not, oldest first."""
    scripts = ScriptDirectory.from_config(_config(database_url))
    engine = create_engine(_sqlalchemy_url(database_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "schema_version", "version_table_schema": "messaging"}
        )
        present = context.get_current_revision()
    done = {script.revision for script in scripts.iterate_revisions(present, "base")} if present else set()
    return tuple(script.revision for script in reversed(list(scripts.walk_revisions())) if script.revision not in done)


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("sqlalchemy.url", _sqlalchemy_url(database_url).replace("%", "%%"))
    return config


def _sqlalchemy_url(database_url: str) -> str:
    for scheme in ("postgresql://", "postgres://"):
        if database_url.startswith(scheme):
            return "postgresql+psycopg://" + database_url.removeprefix(scheme)
    return database_url
