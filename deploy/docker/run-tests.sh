#!/usr/bin/env bash
# `make test-docker`: brings up an engine and the images where they lack, then runs the container tests: the compose
# file as users start it, and integration tests of every service on testcontainers. Ends the engine only if it was started here.
#
#   deploy/docker/run-tests.sh [pytest arguments]      PYTHON=.venv/bin/python
# Exit 3: this machine cannot run containers, the reason is printed; no test ran.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
export PILOTLINE_TEST_BACKEND=docker PILOTLINE_TEST_RUN=$$

started_here=''
docker version >/dev/null 2>&1 || started_here=yes

# Only what this run made: its own testcontainers by label, its own engine by pid.
clean_up() {
  docker ps -aq --filter "label=pilotline.tests=$PILOTLINE_TEST_RUN" 2>/dev/null | xargs -r docker rm -f -v >/dev/null 2>&1 || true
  [ -z "$started_here" ] || "$here/engine-down.sh"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$here/engine-up.sh"
# In two steps: a failure inside eval "$(...)" would go unseen.
images=$("$here/images.sh")
eval "$images"

# The reaper's image comes from a registry; where it is not to be had, clean_up does its work.
if ! docker image inspect "${RYUK_CONTAINER_IMAGE:-testcontainers/ryuk:0.8.1}" >/dev/null 2>&1; then
  export TESTCONTAINERS_RYUK_DISABLED=true
fi
# Published ports are on this machine, even where a file makes testcontainers believe that it runs in a container itself.
case $DOCKER_HOST in
  unix://*) export TESTCONTAINERS_CONNECTION_MODE=docker_host TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1 ;;
esac

# What differs between the backends is the servers: these reach everything that is asked of them. The whole suite runs on local ones.
suites=(
  tests/integration/local tests/integration/messaging tests/integration/ingest
  tests/integration/verification/test_runs.py tests/integration/verification/test_recovery.py
  tests/integration/verification/test_reports.py
  tests/integration/billing/test_metering.py tests/integration/billing/test_invoices.py
)
"${PYTHON:-.venv/bin/python}" -m pytest -q -m 'docker or (stack and not chaos and not slow and not browser)' \
  tests/docker "${suites[@]}" "$@"
