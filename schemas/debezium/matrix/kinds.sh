#!/usr/bin/env bash
# kinds.sh: records every kind of record anew, on a stack that is up and has not recorded it yet: kinds.jsonl, the format of
# schemas/debezium/README.md. One table of PostgreSQL under an envelope connector and one for each delete mode of
# ExtractNewRecordState; one of MariaDB for its changes of schema.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stack=$here/../../../tests/stack
. "$stack/env.sh"
export PG_PORT MARIADB_PORT KAFKA_PORT
sql() { psql -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U postgres "$@"; }
maria() { mariadb --no-defaults -h 127.0.0.1 -P "$MARIADB_PORT" -u debezium -pdebezium "$@"; }
sql -c 'CREATE DATABASE kinds'
sql -d kinds -c "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, big text);
  ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
  CREATE TABLE signal (id text PRIMARY KEY, type text, data text);
  INSERT INTO t VALUES (1, 'one', repeat('x', 3000))"
maria -e "CREATE DATABASE kinds; CREATE TABLE kinds.t (id int PRIMARY KEY, name varchar(9)); INSERT INTO kinds.t VALUES (1, 'one')"
postgres() { # NAME MORE
  jq -n --arg name "$1" --argjson more "$2" '{"connector.class":"io.debezium.connector.postgresql.PostgresConnector","tasks.max":"1",
    "database.hostname":"127.0.0.1","database.port":env.PG_PORT,"database.user":"postgres","database.password":"postgres","database.dbname":"kinds",
    "plugin.name":"pgoutput","slot.name":("kinds_"+$name),"publication.name":"kinds","publication.autocreate.mode":"all_tables",
    "topic.prefix":("kinds-"+$name),"table.include.list":"public.t,public.signal"} + $more' | "$stack/register.sh" "kinds-$1" -
}
flat='{"transforms":"flat","transforms.flat.type":"io.debezium.transforms.ExtractNewRecordState","transforms.flat.add.fields":"op,source.ts_ms","table.include.list":"public.t"}'
postgres envelope '{"skipped.operations":"none","provide.transaction.metadata":"true","signal.data.collection":"public.signal","heartbeat.interval.ms":"500","message.prefix.include.list":"greeting"}'
for mode in drop tombstone rewrite rewrite-with-tombstone delete-to-tombstone; do
  postgres "${mode//-/_}" "$(jq -c --arg mode "$mode" '. + {"transforms.flat.delete.tombstone.handling.mode":$mode}' <<<"$flat")"
done
jq -n '{"connector.class":"io.debezium.connector.mariadb.MariaDbConnector","tasks.max":"1","database.hostname":"127.0.0.1",
  "database.port":env.MARIADB_PORT,"database.user":"debezium","database.password":"debezium","database.server.id":"777","database.include.list":"kinds",
  "topic.prefix":"kinds-mariadb","schema.history.internal.kafka.bootstrap.servers":("127.0.0.1:"+env.KAFKA_PORT),
  "schema.history.internal.kafka.topic":"history.kinds"}' | "$stack/register.sh" kinds-mariadb -
sleep 6 # the snapshots end
sql -d kinds -c "INSERT INTO t VALUES (2, 'two', NULL)" -c "UPDATE t SET name = 'uno' WHERE id = 1" -c "UPDATE t SET id = 3 WHERE id = 2" \
  -c "DELETE FROM t WHERE id = 3" -c "SELECT pg_logical_emit_message(true, 'greeting', 'hello')" >/dev/null
sql -d kinds -c "INSERT INTO signal VALUES ('s', 'execute-snapshot', '{\"data-collections\": [\"public.t\"], \"type\": \"incremental\"}')"
sleep 6
sql -d kinds -c "ALTER TABLE t REPLICA IDENTITY FULL" -c "UPDATE t SET name = 'ein' WHERE id = 1" -c "ALTER TABLE t ADD extra int DEFAULT 7" \
  -c "UPDATE t SET name = 'eins' WHERE id = 1" -c "DELETE FROM t WHERE id = 1" -c "TRUNCATE t"
maria -e "ALTER TABLE kinds.t ADD extra int; UPDATE kinds.t SET name = 'uno', extra = 5; DELETE FROM kinds.t"
sleep 6
topics=(kinds-envelope.public.t kinds-envelope.transaction kinds-envelope.message __debezium-heartbeat.kinds-envelope kinds-mariadb kinds-mariadb.kinds.t)
for mode in drop tombstone rewrite rewrite_with_tombstone delete_to_tombstone; do topics+=("kinds-$mode.public.t"); done
"$stack/dump.sh" "${topics[@]}" >"${OUT:-$here}/kinds.all"
# Of heartbeats, transactions and changes of schema the first few.
awk '/"topic":"(__debezium-heartbeat.kinds-envelope|kinds-envelope.transaction|kinds-mariadb)"/ { split($0, part, "\""); if (++n[part[4]] > 4) next } { print }' "${OUT:-$here}/kinds.all" >"${OUT:-$here}/kinds.jsonl"
rm "${OUT:-$here}/kinds.all"
wc -lc "${OUT:-$here}/kinds.jsonl"
