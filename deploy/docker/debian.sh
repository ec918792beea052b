# Sourced by the scripts beside it: what they need to know of a Debian machine.

# The mirror this machine is configured with, from either form of apt's sources.
debian_mirror() {
  local file
  for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    awk '/^URIs:/ {print $2; exit} $1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {print $i; exit}}' "$file"
  done | sed -n 1p
}

# A package must not start its own daemon here: it would outlive the script and nobody would own it.
install_packages() {
  local policy=/usr/sbin/policy-rc.d made='' code=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
  fi
  apt-get update -qq || code=$?
  [ "$code" != 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || code=$?
  [ -z "$made" ] || rm -f "$policy"
  return "$code"
}
