# Sourced by the other scripts: settings (each can be set in the environment) and what they share.
STACK="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# Downloads are kept per user and version: a second clone, or a second run, fetches nothing.
: "${STACK_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/engine}"
# Data, logs and generated configuration of one running stack. Database servers refuse root, so when root runs this
# the folder must be reachable by the users postgres and mysql: the home of root would not do.
: "${STACK_DIR:=${TMPDIR:-/tmp}/engine-stack-$(id -u)}"
: "${KAFKA_PORT:=9092}" "${CONTROLLER_PORT:=$((KAFKA_PORT + 1))}" "${CONNECT_PORT:=8083}" "${REGISTRY_PORT:=8081}"
: "${PG_PORT:=5432}" "${MARIADB_PORT:=3306}" "${KAFKA_HEAP:=512m}" "${CONNECT_HEAP:=768m}" "${REGISTRY_HEAP:=384m}"
: "${JAVA:=java}"

LIB="$STACK_CACHE/jars/$(sha256sum "$STACK/pom.xml" | cut -c1-16)" # other versions, another folder
RUN="$STACK_DIR/run" LOG="$STACK_DIR/log" CONF="$STACK_DIR/conf" DATA="$STACK_DIR/data"

# The folder of PostgreSQL's programs: $PG_BIN, the newest of Debian's, or that of `postgres` in the path.
pg_bin() {
  if [ -z "${PG_BIN:-}" ]; then
    PG_BIN=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$PG_BIN" ] || PG_BIN=$(command -v initdb) || return 1
    PG_BIN=$(dirname "$PG_BIN")
  fi
  echo "$PG_BIN"
}

alive() { [ -s "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null; }
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# jvm HEAP: sets JVM, the words that start a Java virtual machine. The serial collector: small heaps, few cores.
jvm() {
  JVM=("$JAVA" "-Xmx$1" -Xms64m -XX:+UseSerialGC -Xshare:auto -Djava.awt.headless=true "-Dlog4j2.configurationFile=$STACK/log4j2.xml")
}
