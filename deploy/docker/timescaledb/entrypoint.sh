#!/usr/bin/env bash
# Makes the cluster at the first start, then becomes the server. While it initialises the server listens on the unix
# socket only, so that a health check over TCP cannot succeed before the database is complete.
set -euo pipefail

# from_file NAME: the value of NAME, or the content of the file NAME_FILE names (a mounted secret).
from_file() {
  local name=$1 file_name="$1_FILE"
  if [ -n "${!file_name:-}" ]; then cat "${!file_name}"; else printf '%s' "${!name:-}"; fi
}

initialise() {
  local user password database script
  user=${POSTGRES_USER:-postgres}
  password=$(from_file POSTGRES_PASSWORD)
  database=${POSTGRES_DB:-$user}
  if [ -z "$password" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo 'no password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE' >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # the options are meant to be split
  initdb --username="$user" --pwfile=<(printf '%s\n' "${password:-unused}") --encoding=UTF8 \
    --auth-local=trust --auth-host="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" ${POSTGRES_INITDB_ARGS:-} >/dev/null
  printf 'host all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  {
    echo "shared_preload_libraries = 'timescaledb'"
    echo "listen_addresses = '*'"
    echo 'timescaledb.telemetry_level = off'
    echo 'jit = off'
  } >>"$PGDATA/postgresql.conf"

  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
  local psql=(psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$user")
  "${psql[@]}" --dbname template1 -c 'create extension if not exists timescaledb' 2>/dev/null
  if [ "$database" != postgres ]; then
    "${psql[@]}" --dbname postgres -v name="$database" <<<'create database :"name"'
  fi
  "${psql[@]}" --dbname "$database" -c 'create extension if not exists timescaledb' 2>/dev/null
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sql) "${psql[@]}" --dbname "$database" -f "$script" ;;
      *.sql.gz) gunzip -c "$script" | "${psql[@]}" --dbname "$database" ;;
      *.sh) . "$script" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
}

case ${1:-postgres} in
  postgres) shift || true ;;
  -*) ;;
  *) exec "$@" ;;
esac
[ -s "$PGDATA/PG_VERSION" ] || initialise
exec postgres -D "$PGDATA" "$@"
