#!/usr/bin/env bash
# dump.sh TOPIC...: what the topics hold now, as JSON lines on standard output (the format of schemas/debezium).
set -euo pipefail
. "$(dirname "$0")/env.sh"
jvm 256m
exec "${JVM[@]}" -cp "$LIB/kafka/*" "$STACK/Dump.java" "127.0.0.1:$KAFKA_PORT" "$@"
