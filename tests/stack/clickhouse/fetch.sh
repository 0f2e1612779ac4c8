#!/usr/bin/env bash
# fetch.sh: brings the ClickHouse engine (libchdb.so, from its npm package), compiles the launcher beside it and prints
# the launcher's path. Does nothing where both are there. Needs npm and rustc; Linux on x86-64.
#   CLICKHOUSE_HOME   where they go; default: a folder of the version in the user's cache
set -euo pipefail
. "$(dirname "$0")/../env.sh"

version=26.7.3-stable.1
package=@chdb/lib-linux-x64-gnu
sha256=36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5

if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "fetch.sh: the embedded ClickHouse exists for Linux on x86-64 alone" >&2; exit 1
fi
here="$STACK/clickhouse"
home="${CLICKHOUSE_HOME:-$STACK_CACHE/clickhouse/$version}"
serve="$home/clickhouse-serve"
mkdir -p "$home"
exec 9>"$home/.lock"; flock 9 # two runs at once: the second waits and then finds both there

if [ ! -e "$home/libchdb.so" ]; then
  echo "fetch.sh: ClickHouse $version (150 MB)" >&2
  tmp=$(mktemp -d "$home/fetch.XXXXXX"); trap 'rm -rf "$tmp"' EXIT
  (cd "$tmp" && npm pack --silent "$package@$version" >/dev/null)
  tar -xzf "$tmp"/*.tgz -C "$tmp" package/libchdb.so
  echo "$sha256  $tmp/package/libchdb.so" | sha256sum --check --quiet >&2
  mv "$tmp/package/libchdb.so" "$home/libchdb.so" # last and at once: a library that is there is whole
fi

# Compiled anew when its source is another: a launcher is known by its source's hash, not by its age.
source=$(sha256sum <"$here/serve.rs" | cut -c1-16)
if [ ! -x "$serve" ] || [ "$(cat "$home/.source" 2>/dev/null)" != "$source" ]; then
  rustc --edition 2021 -O -o "$serve.new" "$here/serve.rs" >&2
  mv "$serve.new" "$serve"
  echo "$source" >"$home/.source"
fi
echo "$serve"
