#!/usr/bin/env bash
# Fetches the pages' JavaScript, pinned by its lock file, once:  assets.sh FOLDER
# Without npm everything but the curves works; that is said loudly and is no failure.
set -euo pipefail
folder=$1
loud() { printf '\n!!!!!!!! %s\n\n' "$*" >&2; }

[ -f "$folder/package-lock.json" ] || { loud "NO $folder/package-lock.json: THE PAGES WILL SHOW NO CURVES"; exit 0; }
installed=$folder/node_modules/.package-lock.json
[ -e "$installed" ] && [ ! "$folder/package-lock.json" -nt "$installed" ] && exit 0
command -v npm >/dev/null || { loud 'NO npm: THE PAGES WILL SHOW NO CURVES. INSTALL npm, THEN RUN make assets'; exit 0; }
echo "[assets] npm ci in $folder" >&2
npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error >&2 || loud 'npm ci FAILED: THE PAGES WILL SHOW NO CURVES'
