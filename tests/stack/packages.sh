#!/usr/bin/env bash
# packages.sh GROUP...: installs the system packages of these groups that are missing; does nothing where none is.
#   build     what the Kafka client and the HTTP client compile against: OpenSSL, zlib, make
#   java      a Java 17 or newer and Maven
#   postgres  PostgreSQL's server and psql        mariadb  MariaDB's server
#   monitoring  Prometheus and promtool
#   tools     curl and jq, for the scripts that are run by hand
#   valgrind  for `make evil UNDER=valgrind`
# Needs root or sudo, and apt, only when something is missing.
set -euo pipefail
. "$(dirname "$0")/env.sh"

missing=()
need() { local package=$1; shift; "$@" >/dev/null 2>&1 || missing+=("$package"); }
modern_java() { local v; v=$("$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'); [ "${v:-0}" -ge 17 ]; }
header() { echo "#include <$1>" | cc -E - ; }

for group; do
  case $group in
    build)
      need make command -v make
      need g++ command -v c++
      need pkg-config command -v pkg-config
      need openssl command -v openssl # the certificates of a test
      need libssl-dev header openssl/ssl.h
      need zlib1g-dev header zlib.h ;;
    java)
      need openjdk-17-jdk-headless modern_java
      need maven command -v mvn ;;
    postgres) need postgresql pg_bin ;;
    mariadb) need mariadb-server command -v mariadbd ;;
    monitoring) need prometheus command -v promtool ;;
    valgrind) need valgrind command -v valgrind ;;
    tools)
      need curl command -v curl
      need jq command -v jq ;;
    *) echo "packages.sh: unknown group: $group" >&2; exit 2 ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "packages.sh: please install what Debian calls: ${missing[*]}" >&2; exit 1
fi
echo "packages.sh: installing ${missing[*]}" >&2
sudo=(); [ "$(id -u)" = 0 ] || sudo=(sudo)
# No server is to be started by its package: policy-rc.d forbids it, as in a container image.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
  "${sudo[@]}" chmod +x $policy
  trap '"${sudo[@]}" rm -f $policy' EXIT
fi
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
