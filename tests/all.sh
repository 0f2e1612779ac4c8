#!/usr/bin/env bash
# All tests, with all the set-up they need: what is missing is installed or fetched first, once per user and version.
#   all.sh           everything
#   all.sh --quick   format, lints and unit tests
# Every cargo command takes the whole workspace: for a part of it cargo would choose other features of the shared
# dependencies and compile them again. There is one profile, dev, in which the dependencies are optimised.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=; [ "${1:-}" != --quick ] || quick=1
log=$(mktemp -d)
background=() times=()
trap '[ ${#background[@]} = 0 ] || kill -- "${background[@]}" 2>/dev/null || true; rm -rf "$log"' EXIT

# stage NAME CMD...: runs CMD, says how long it took, and ends everything when it fails.
stage() {
  local name=$1 start=$SECONDS code=0; shift
  printf '\n=== %s\n' "$name"
  "$@" || code=$?
  times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
  echo "=== $name: $((SECONDS - start)) s"
  [ $code = 0 ] || { summary "FAILED: $name (exit code $code)"; exit $code; }
}
summary() { printf '\n%s\n' "${times[@]}"; printf '%5d s  in all\n%s\n' "$SECONDS" "$1"; }

# meanwhile NAME CMD...: runs CMD in the background, its output in a file. joined NAME: waits for it and shows that.
meanwhile() {
  local name=$1; shift
  set -m # a process group of its own, so that all of it can be ended
  "$@" >"$log/$name" 2>&1 </dev/null &
  set +m
  background+=("-$!"); eval "pid_$name=$!"
}
joined() {
  local pid="pid_$1" code=0
  wait "${!pid}" || code=$?
  cat "$log/$1"
  return $code
}

downloads() {
  tests/stack/fetch.sh kafka postgres mariadb registry
  tests/stack/clickhouse/fetch.sh
  plugin-sdk/toolchain/wasm-target.sh
}

# Known weaknesses of dependencies: the list lies on the network, and a machine without it can't tell.
advisories() {
  if timeout 120 "$1" fetch db; then
    "$1" check --disable-fetch advisories
  else
    echo "NOT CHECKED: the list of advisories can't be fetched from here. Everything else was."
  fi
}

if [ $quick ]; then
  stage "packages" tests/stack/packages.sh build
else
  stage "packages" tests/stack/packages.sh build java postgres mariadb monitoring
  meanwhile downloads downloads
  meanwhile deny nice tests/stack/cargo-deny.sh
fi
stage "format" cargo fmt --all --check
stage "planted bugs still fit (make planted)" tests/planted.sh --check
stage "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
stage "unit tests" cargo test --workspace --locked --lib --bins
if [ $quick ]; then summary "passed: all but the slow ones (make test)"; exit 0; fi

stage "examples in the documentation" cargo test --workspace --locked --doc
stage "downloads (since the start)" joined downloads
CLICKHOUSE_SERVE=$(tests/stack/clickhouse/fetch.sh); export CLICKHOUSE_SERVE
stage "plugins" plugin-sdk/toolchain/build-plugins.sh
export PLUGINS_BUILT=1
# One after the other: each starts servers of its own.
stage "tests of the whole, on the real stack" cargo test --workspace --locked --no-fail-fast --test '*' -- --test-threads=1 --nocapture
stage "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps
stage "cargo-deny (since the start)" joined deny
deny=$(tests/stack/cargo-deny.sh)
stage "licences, bans, sources" "$deny" check licenses bans sources
stage "advisories" advisories "$deny"
summary "passed"
