#!/usr/bin/env bash
# register.sh NAME JSON: creates or updates connector NAME and waits until its task runs. JSON is a file, '-' or the text
# itself, either the bare config or {"name":..., "config":{...}}. Exits 1, with the trace, when it fails.
set -euo pipefail
. "$(dirname "$0")/env.sh"
name=$1 json=$2 url="http://127.0.0.1:$CONNECT_PORT/connectors"
case $json in -) json=$(cat) ;; {*) ;; *) json=$(cat "$json") ;; esac
jq 'if .config then .config else . end' <<<"$json" |
  curl -sS --fail-with-body -X PUT -H 'Content-Type: application/json' --data @- "$url/$name/config" >"$RUN/register.out" ||
  { cat "$RUN/register.out" >&2; exit 1; }
state=
for _ in $(seq 200); do
  state=$(curl -fsS "$url/$name/status" 2>/dev/null | jq -r '[.connector.state, .tasks[].state] | join(" ")' || true)
  case $state in
    *FAILED*) curl -fsS "$url/$name/status" | jq -r '.connector.trace // .tasks[].trace' >&2; exit 1 ;;
    "RUNNING RUNNING"*) echo "$name: $state"; exit 0 ;;
  esac
  sleep 0.3
done
echo "$name is not running: $state" >&2; exit 1
