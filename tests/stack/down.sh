#!/usr/bin/env bash
# down.sh [NAME...]: stops what is named (default: all that up.sh started). down.sh --wipe: stops all and deletes the data.
set -euo pipefail
. "$(dirname "$0")/env.sh"
wipe=; if [ "${1:-}" = --wipe ]; then wipe=1; shift; fi
[ $# -gt 0 ] || set -- connect registry kafka postgres mariadb
for name; do
  if alive "$name"; then
    pid=$(cat "$RUN/$name.pid")
    # INT is PostgreSQL's fast shutdown; on TERM it would wait for the replication connections for ever.
    if [ "$name" = postgres ]; then kill -INT "$pid"; else kill "$pid"; fi
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid"; fi
    echo "$name stopped"
  fi
  rm -f "$RUN/$name.pid"
done
if [ $wipe ]; then rm -rf "$DATA" "$LOG" "$RUN" "$CONF"; fi
