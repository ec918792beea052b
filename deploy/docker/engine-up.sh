#!/usr/bin/env bash
# Makes `docker`, `docker compose`, `docker buildx` and a running engine available on a Debian machine without one.
# Ends at once where Docker already works (Docker Desktop, an ordinary engine). Needs root on Debian 12 or later.
#
#   deploy/docker/engine-up.sh      exit 0: an engine answers; exit 3: this machine cannot have one, the reason is printed
#   deploy/docker/engine-down.sh    ends the engine started here, and no other
set -euo pipefail
. "$(dirname "$0")/debian.sh"

STATE=${PILOTLINE_ENGINE_STATE:-/var/lib/pilotline-engine}
PLUGINS=/usr/local/lib/docker/cli-plugins
export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}

say() { printf '[engine-up] %s\n' "$*" >&2; }
cannot() { say "cannot bring up a Docker engine: $*"; exit 3; }

engine_answers() { docker version >/dev/null 2>&1; }
plugins_work() { docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; }

install_engine() {
  say 'installing docker.io'
  install_packages docker.io iptables ca-certificates || cannot 'apt-get could not install docker.io'
}

# Compose v2 and buildx are packages of Debian 13. They need only libc6 >= 2.34, so on Debian 12 the two plugin
# binaries are unpacked from there without touching the machine's own package sources.
install_plugins() {
  say 'fetching the compose and buildx plugins'
  local work mirror options package
  work=$(mktemp -d); chmod 755 "$work"; mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  mirror=$(debian_mirror); [ -n "$mirror" ] || cannot 'no Debian mirror in the apt sources'
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$work/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$work" && apt-get "${options[@]}" download docker-compose docker-buildx)
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/tree"; done
  mkdir -p "$PLUGINS"
  cp "$work"/tree/usr/libexec/docker/cli-plugins/docker-* "$PLUGINS/"
  rm -rf "$work"
}

start_engine() {
  mkdir -p "$STATE"
  say "starting dockerd (log: $STATE/dockerd.log)"
  setsid dockerd -H "$DOCKER_HOST" --data-root "$STATE/data" --exec-root "$STATE/exec" \
    --pidfile "$STATE/dockerd.pid" >"$STATE/dockerd.log" 2>&1 </dev/null &
  local daemon=$!
  for _ in $(seq 300); do
    if engine_answers; then return 0; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$STATE/dockerd.log" >&2
  cannot "dockerd did not start; the lines above are the end of its log"
}

if ! engine_answers || ! plugins_work; then
  [ "$(id -u)" = 0 ] || cannot 'not root and no engine answers: install Docker Engine with Compose v2 and buildx'
  command -v apt-get >/dev/null || cannot 'not Debian: install Docker Engine with Compose v2 and buildx'
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then install_engine; fi
  plugins_work || install_plugins
  engine_answers || start_engine
fi
say "engine $(docker version -f '{{.Server.Version}}'), compose $(docker compose version --short)," \
  "buildx $(docker buildx version | awk '{print $2}'), storage $(docker info -f '{{.Driver}}')"
