#!/usr/bin/env bash
# fetch.sh [PART...]: brings the jars (pom.xml says which versions) and, where they are missing, the servers.
# Parts: kafka postgres mariadb mysql mongodb registry; default: kafka postgres. Does nothing on a second call.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ $# -gt 0 ] || set -- kafka postgres

packages=(java)
for part; do
  case $part in postgres|mariadb) packages+=("$part") ;; esac
done
"$STACK/packages.sh" "${packages[@]}"

mkdir -p "$LIB"
exec 9>"$LIB.lock"; flock 9 # two runs at once: the second waits and then finds everything there

# get PROFILE FOLDER [GOAL]: a folder without .complete is a download that was cut off.
get() {
  [ ! -e "$2/.complete" ] || return 0
  echo "fetch.sh: $1" >&2
  rm -rf "$2"; mkdir -p "$2"
  mvn -B -q -f "$STACK/pom.xml" -P "$1" "dependency:${3:-copy-dependencies}" -DincludeScope=runtime -DoutputDirectory="$2" 9>&-
  touch "$2/.complete"
}

for part; do
  case $part in
    kafka) get kafka "$LIB/kafka" ;;
    postgres|mariadb|mysql|mongodb) get "debezium-$part" "$LIB/plugins/debezium-$part" ;;
    registry)
      get kafka "$LIB/kafka"
      get registry "$LIB/registry" unpack
      get avro-converter "$LIB/plugins/avro-converter"
      # This plugin has no service manifest, and without one Connect would have to scan every jar at each start.
      jvm 256m
      "${JVM[@]}" -cp "$LIB/kafka/*" org.apache.kafka.tools.ConnectPluginPath sync-manifests \
        --plugin-location "$LIB/plugins/avro-converter" >&2 ;;
    *) echo "fetch.sh: unknown part: $part" >&2; exit 2 ;;
  esac
done
