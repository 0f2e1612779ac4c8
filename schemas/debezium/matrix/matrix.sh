#!/usr/bin/env bash
# matrix.sh postgres|mariadb: records the type matrix anew, on a stack that is up and has not recorded it yet
# (tests/stack/fetch.sh and up.sh kafka postgres mariadb connect). For each handling mode a connector; each writes
#   <database>-<mode>.jsonl   first line the embedded schema of all values, then a line for each message:
#                             offset, headers, key and value as sent, of the value the payload alone
#   <database>-values.jsonl   what the database says of each cell
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stack=$here/../../../tests/stack
. "$stack/env.sh"
out=${OUT:-$here} database=$1

# Each mode: a name, and what differs from Debezium's defaults.
modes=(
  'precise' '{}'
  'string' '{"decimal.handling.mode":"string","time.precision.mode":"isostring","interval.handling.mode":"string","binary.handling.mode":"hex","hstore.handling.mode":"map","bigint.unsigned.handling.mode":"precise","enum.handling.mode":"string"}'
  'double' '{"decimal.handling.mode":"double","time.precision.mode":"connect","binary.handling.mode":"base64"}'
  'numeric' '{"time.precision.mode":"microseconds","binary.handling.mode":"base64-url-safe","value.converter.decimal.format":"NUMERIC","bigint.unsigned.handling.mode":"precise"}'
  'nanoseconds' '{"time.precision.mode":"nanoseconds","hstore.handling.mode":"json"}'
)
[ "$database" = mariadb ] || modes+=('structured' '{"time.precision.mode":"structured","interval.handling.mode":"string"}')

case $database in
  postgres)
    sql() { psql -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U postgres -d matrix "$@"; }
    sql -d postgres -c 'CREATE DATABASE matrix'
    sql -f "$here/postgres.sql"
    sql -At -f "$here/postgres-values.sql" >"$out/postgres-values.jsonl"
    copy() {
      columns=$(sql -At -c "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'matrix'::regclass AND attnum > 1")
      sql -c "INSERT INTO matrix (id,$columns) SELECT id + 100,$columns FROM matrix WHERE id < 100 ORDER BY id"
    }
    table=public.matrix
    config() { jq -n --arg mode "$1" '{"connector.class":"io.debezium.connector.postgresql.PostgresConnector","tasks.max":"1",
      "database.hostname":"127.0.0.1","database.port":env.PG_PORT,"database.user":"postgres","database.password":"postgres","database.dbname":"matrix",
      "plugin.name":"pgoutput","slot.name":("matrix_"+$mode),"publication.name":"matrix","publication.autocreate.mode":"filtered",
      "table.include.list":"public.matrix"}'; } ;;
  mariadb)
    sql() { mariadb --no-defaults -h 127.0.0.1 -P "$MARIADB_PORT" -u debezium -pdebezium --default-character-set=utf8mb4 --batch --raw --skip-column-names "$@"; }
    sql <"$here/mariadb.sql"
    sql matrix <"$here/mariadb-values.sql" >"$out/mariadb-values.jsonl"
    copy() {
      columns=$(sql -e "SELECT group_concat(column_name ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'matrix' AND ordinal_position > 1")
      sql matrix -e "SET sql_mode=''; INSERT INTO matrix (id,$columns) SELECT id + 100,$columns FROM matrix WHERE id < 100 ORDER BY id"
    }
    table=matrix.matrix
    config() { jq -n --arg mode "$1" '{"connector.class":"io.debezium.connector.mariadb.MariaDbConnector","tasks.max":"1",
      "database.hostname":"127.0.0.1","database.port":env.MARIADB_PORT,"database.user":"debezium","database.password":"debezium",
      "database.server.id":("1"+($mode|length|tostring)+($mode|explode|add|tostring)),"database.include.list":"matrix",
      "schema.history.internal.kafka.bootstrap.servers":("127.0.0.1:"+env.KAFKA_PORT),"schema.history.internal.kafka.topic":("history."+$mode)}'; } ;;
  *) echo "matrix.sh: postgres or mariadb" >&2; exit 2 ;;
esac
export PG_PORT MARIADB_PORT KAFKA_PORT

for ((i = 0; i < ${#modes[@]}; i += 2)); do
  mode=${modes[i]}
  config "$mode" | jq --argjson more "${modes[i + 1]}" --arg prefix "$database-$mode" '. + {"topic.prefix":$prefix,
    "key.converter":"org.apache.kafka.connect.json.JsonConverter","key.converter.schemas.enable":"false",
    "value.converter":"org.apache.kafka.connect.json.JsonConverter","value.converter.schemas.enable":"true"} + $more' |
    "$stack/register.sh" "$database-$mode" -
done
# messages TOPIC COUNT: waits until so many are there.
messages() {
  for _ in $(seq 100); do
    "$stack/dump.sh" "$1" 2>/dev/null >"$out/.dump" || true
    [ "$(wc -l <"$out/.dump")" -lt "$2" ] || return 0
    sleep 1
  done
  echo "matrix.sh: $1 has $(wc -l <"$out/.dump") messages, not $2" >&2; exit 1
}
rows=$(wc -l <"$out/$database-values.jsonl")
for ((i = 0; i < ${#modes[@]}; i += 2)); do messages "$database-${modes[i]}.$table" "$rows"; done
copy
for ((i = 0; i < ${#modes[@]}; i += 2)); do
  mode=${modes[i]}
  messages "$database-$mode.$table" $((2 * rows))
  # By text, not by jq's numbers, which are doubles.
  python3 - "$out/.dump" >"$out/$database-$mode.jsonl" <<'P'
import json, sys
schema = None
for line in open(sys.argv[1]):
    message = json.loads(line)
    value = message["value"]
    at = value.index(',"payload":')
    if schema is None:
        schema = value[:at]
        print(json.dumps({"prefix": schema + ',"payload":'}, ensure_ascii=False))
    assert value[:at] == schema and value.endswith("}")
    print(json.dumps({"offset": message["offset"], "headers": message["headers"], "key": message["key"], "payload": value[at + 11:-1]}, ensure_ascii=False))
P
  echo "$mode: $(wc -lc <"$out/$database-$mode.jsonl")"
done
rm -f "$out/.dump"
