#!/usr/bin/env bash
# up.sh [kafka|connect|postgres|mariadb|registry ...]: starts what is named (default: kafka postgres connect) in the
# background, and returns when it answers. Logs and pid files are below STACK_DIR; down.sh stops.
set -euo pipefail
. "$(dirname "$0")/env.sh"
mkdir -p "$RUN" "$LOG"
chmod a+x "$STACK_DIR"

answers() {
  case $1 in
    kafka) port_open "$KAFKA_PORT" ;;
    connect) curl -fsS "http://127.0.0.1:$CONNECT_PORT/connectors" ;;
    postgres) "$(pg_bin)/pg_isready" -h 127.0.0.1 -p "$PG_PORT" ;;
    mariadb) mariadb --no-defaults -h 127.0.0.1 -P "$MARIADB_PORT" -u debezium -pdebezium -e 'select 1' ;;
    registry) curl -fsS "http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7/subjects" ;;
    *) echo "up.sh: unknown part: $1" >&2; exit 2 ;;
  esac
}

[ $# -gt 0 ] || set -- kafka postgres connect
for name; do
  if alive "$name"; then echo "$name is already up"; continue; fi
  setsid nohup "$STACK/run.sh" "$name" >>"$LOG/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
  end=$((SECONDS + 120))
  until answers "$name" >/dev/null 2>&1; do
    if ! alive "$name" || [ $SECONDS -ge $end ]; then
      echo "$name did not come up:" >&2; tail -20 "$LOG/$name.log" >&2; exit 1
    fi
    sleep 0.3
  done
  echo "$name is up (pid $(cat "$RUN/$name.pid"))"
done
