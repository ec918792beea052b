#!/usr/bin/env bash
# Makes the Python environment with the development requirements, every one by hash:  venv.sh PYTHON FOLDER
# The package index is the one this machine's pip is configured with.
set -euo pipefail
python=$1
venv=$2
say() { echo "[venv] $*" >&2; }
fail() { say "$*"; exit 1; }

command -v "$python" >/dev/null || fail "no $python: install Python 3.11, 3.12 or 3.13, or say where it is: make PYTHON=/path/to/python3.12 …"

# PATH's python3 may be older than one that is installed beside it.
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }
if ! suits "$python"; then
  for other in python3.13 python3.12 python3.11; do
    if suits "$other"; then python=$other; break; fi
  done
fi
suits "$python" || fail "Python 3.11, 3.12 or 3.13 is needed; $python is $("$python" -V 2>&1)"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
  package=python$version-venv
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $package, which Debian keeps apart from Python"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
  else
    fail "this Python has no venv: install it (Debian, Ubuntu: sudo apt-get install $package)"
  fi
fi

# pip's several hundred lines as one that counts.
count() {
  local terminal=0
  [ ! -t 2 ] || terminal=1
  awk -v terminal="$terminal" '
    /^ *(Downloading|Using cached) / {n++; if (terminal) printf "\r[venv] %d packages fetched ", n >"/dev/stderr"}
    /^Installing collected/ {printf "%s[venv] %d packages fetched, installing\n", terminal ? "\r" : "", n >"/dev/stderr"}'
}

[ -x "$venv/bin/python" ] && suits "$venv/bin/python" || "$python" -m venv --clear "$venv"
say "installing the requirements into $venv"
with_uv() {
  command -v uv >/dev/null || return 1
  uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements/dev.txt \
    && uv pip install --quiet --python "$venv/bin/python" --no-deps -e .
}
with_pip() {
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
  # Compiled when imported: half the time of an installation is compiling what is never used.
  "$venv/bin/python" -m pip install --no-compile --progress-bar off --require-hashes -r requirements/dev.txt | count
  "$venv/bin/python" -m pip install --quiet --no-deps -e .
}
# uv does not read pip's configuration, so where only pip knows the way to an index, pip goes it.
with_uv || with_pip
