#!/usr/bin/env bash
# Builds the Kafka and TimescaleDB images from packages where no image registry is reached, and prints the environment
# that makes docker compose and the tests use them:
#
#   eval "$(deploy/docker/images.sh)"
#
# Where the official images are on the machine, or can be pulled, nothing is built and nothing needs to be set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

KAFKA_VERSION=4.1.0
TIMESCALE_VERSION=2.19.3-pg17
EXTRA_CA_FILE=${EXTRA_CA_FILE:-${SSL_CERT_FILE:-/dev/null}}

available() { docker image inspect "$1" >/dev/null 2>&1 || timeout 120 docker pull -q "$1" >/dev/null 2>&1; }

build() {
  local folder=$1 tag=$2
  echo "[images] building $tag (what is unchanged comes from the cache)" >&2
  docker buildx build --quiet --load --secret "id=extra_ca,src=$EXTRA_CA_FILE" \
    --file "$here/$folder/Dockerfile" --tag "$tag" "$here" >/dev/null
}

kafka=${KAFKA_IMAGE:-apache/kafka:$KAFKA_VERSION}
timescale=${TIMESCALE_IMAGE:-timescale/timescaledb:$TIMESCALE_VERSION-oss}
base=${PYTHON_BASE:-debian:trixie-slim}

available "$base" || "$here/base-image.sh" "$base"
if ! available "$kafka"; then
  kafka=pilotline/kafka:$KAFKA_VERSION
  build kafka "$kafka"
fi
if ! available "$timescale"; then
  timescale=pilotline/timescaledb:$TIMESCALE_VERSION
  build timescaledb "$timescale"
fi
printf 'export KAFKA_IMAGE=%s TIMESCALE_IMAGE=%s PYTHON_BASE=%s EXTRA_CA_FILE=%s\n' \
  "$kafka" "$timescale" "$base" "$EXTRA_CA_FILE"
