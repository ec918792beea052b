#!/usr/bin/env bash
# Ends the engine that engine-up.sh started, by its pid, and no other. Images stay in its data folder for the next start.
set -euo pipefail

STATE=${PILOTLINE_ENGINE_STATE:-/var/lib/pilotline-engine}
[ -f "$STATE/dockerd.pid" ] || exit 0
pid=$(<"$STATE/dockerd.pid")
# A stale file after a crash may name a process that is somebody else's by now.
[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || exit 0
kill -TERM "$pid"
for _ in $(seq 300); do
  kill -0 "$pid" 2>/dev/null || exit 0
  sleep 0.1
done
echo '[engine-down] dockerd did not stop in 30 s' >&2
exit 1
