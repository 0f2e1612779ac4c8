#!/usr/bin/env bash
# run.sh kafka|connect|postgres|mariadb|registry: runs one part in the foreground. This process *becomes* the server, so its
# exit, its signals and its output are the server's own. up.sh runs parts in the background; the tests start parts with this.
# With PDEATHSIG set (a signal's name) a server that changes its user asks again for that signal at its parent's death.
set -euo pipefail
. "$(dirname "$0")/env.sh"
mkdir -p "$CONF" "$DATA"

# as USER: sets AS, the words before a command that make it run as USER when we are root.
as() {
  AS=()
  if [ "$(id -u)" = 0 ]; then
    AS=(setpriv --reuid="$1" --regid="$1" --init-groups ${PDEATHSIG:+--pdeathsig "$PDEATHSIG"})
  fi
}
# folder_of USER DIR: makes DIR, owned by USER when we are root, and checks that USER can get there.
folder_of() {
  mkdir -p "$2"
  [ "$(id -u)" = 0 ] || return 0
  chown "$1:$1" "$2"
  setpriv --reuid="$1" --regid="$1" --init-groups test -w "$2" ||
    { echo "run.sh: user $1 can't reach $2: set STACK_DIR to a folder that it can" >&2; exit 1; }
}

run_kafka() {
  local data="$DATA/kafka" conf="$CONF/kafka.properties"
  cat >"$conf" <<C
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT${KAFKA_LISTENERS:+,$KAFKA_LISTENERS}
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT${KAFKA_LISTENERS:+,$KAFKA_LISTENERS}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$data
num.partitions=${KAFKA_PARTITIONS:-1}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
${KAFKA_PROPERTIES:-}
C
  local scram=() user # KAFKA_SCRAM: users, one on a line, as kafka-storage takes them
  while read -r user; do [ -z "$user" ] || scram+=(--add-scram "$user"); done <<<"${KAFKA_SCRAM:-}"
  if [ ! -e "$data/meta.properties" ]; then
    jvm 256m
    "${JVM[@]}" -cp "$LIB/kafka/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$conf" ${scram[@]+"${scram[@]}"}
  fi
  jvm "$KAFKA_HEAP"
  exec "${JVM[@]}" -cp "$LIB/kafka/*" kafka.Kafka "$conf"
}

run_connect() {
  # plugin.discovery: the default would scan every jar, 33 s at each start in place of 7.
  cat >"$CONF/connect.properties" <<C
bootstrap.servers=127.0.0.1:$KAFKA_PORT
group.id=connect
listeners=http://127.0.0.1:$CONNECT_PORT
plugin.path=$LIB/plugins
plugin.discovery=${PLUGIN_DISCOVERY:-service_load}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
config.storage.topic=connect-configs
offset.storage.topic=connect-offsets
status.storage.topic=connect-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
offset.flush.interval.ms=2000
scheduled.rebalance.max.delay.ms=0
C
  jvm "$CONNECT_HEAP"
  exec "${JVM[@]}" -cp "$LIB/kafka/*" org.apache.kafka.connect.cli.ConnectDistributed "$CONF/connect.properties"
}

run_postgres() {
  local data="$DATA/postgres" bin; bin=$(pg_bin); as postgres
  folder_of postgres "$data"
  if [ ! -e "$data/PG_VERSION" ]; then
    "${AS[@]}" "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
  fi
  # fsync=off: right for tests, wrong for measuring commits. The socket goes beside the data: no shared folder is touched.
  exec "${AS[@]}" "$bin/postgres" -D "$data" -p "$PG_PORT" -k "$data" -c listen_addresses=127.0.0.1 \
    -c wal_level=logical -c max_replication_slots=20 -c max_wal_senders=20 -c shared_buffers=64MB -c fsync=off -c log_min_messages=error
}

run_mariadb() {
  local data="$DATA/mariadb"; as mysql
  folder_of mysql "$data"
  if [ ! -d "$data/mysql" ]; then
    "${AS[@]}" mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db
  fi
  cat >"$CONF/mariadb.sql" <<'C'
CREATE USER IF NOT EXISTS debezium@'%' IDENTIFIED BY 'debezium';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR ON *.* TO debezium@'%';
C
  chmod a+r "$CONF/mariadb.sql"
  exec "${AS[@]}" mariadbd --no-defaults --datadir="$data" --bind-address=127.0.0.1 --port="$MARIADB_PORT" \
    --socket="$data/mariadb.sock" --pid-file="$data/mariadb.pid" --server-id=1 --log-bin=binlog --binlog-format=ROW \
    --binlog-row-image=FULL --binlog-row-metadata=FULL --innodb-buffer-pool-size=64M --performance-schema=OFF \
    --init-file="$CONF/mariadb.sql"
}

run_registry() { # Apicurio: Confluent's API on /apis/ccompat/v7; schemas are kept in memory
  jvm "$REGISTRY_HEAP"
  exec "${JVM[@]}" -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$REGISTRY_PORT" -jar "$LIB"/registry/apicurio-registry-app-*-runner.jar
}

case ${1:-} in
  kafka|connect|postgres|mariadb|registry) "run_$1" ;;
  *) echo "run.sh: what? kafka, connect, postgres, mariadb or registry" >&2; exit 2 ;;
esac
