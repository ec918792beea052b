#!/usr/bin/env bash
# Makes a local stand-in for the official slim image of Debian out of Debian's packages, for a machine or an offline
# plant that reaches its Debian mirror but no image registry. Does nothing where the image is there already.
#
#   deploy/docker/base-image.sh [TAG] [SUITE]     defaults: debian:trixie-slim trixie
# Needs: a running engine; root (mmdebstrap is installed with apt-get when it lacks).
set -euo pipefail
. "$(dirname "$0")/debian.sh"

TAG=${1:-debian:trixie-slim}
SUITE=${2:-trixie}
docker image inspect "$TAG" >/dev/null 2>&1 && exit 0

command -v mmdebstrap >/dev/null || install_packages mmdebstrap
mirror=$(debian_mirror)
[ -n "$mirror" ] || { echo '[base-image] no Debian mirror in the apt sources' >&2; exit 1; }

# As the official slim image: no manual pages, documents or locales, and apt keeps no downloaded package. Without the
# clean-up rule every layer built on it would carry the .deb files it installed (TimescaleDB: 572 MB instead of 267).
clean='DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };'
mmdebstrap --quiet --variant=minbase --include=ca-certificates \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="printf '%s\n' '$clean' 'Acquire::Languages \"none\";' >\"\$1\"/etc/apt/apt.conf.d/docker-clean" \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log "$1"/usr/share/locale/*' \
  "$SUITE" - "$mirror" | docker import -c 'CMD ["bash"]' - "$TAG" >/dev/null
echo "[base-image] built $TAG from Debian $SUITE packages" >&2
