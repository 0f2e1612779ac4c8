#!/usr/bin/env bash
# The benchmark, in release builds; figures are written into bench.json, in place of those of the same names.
#   tests/bench.sh                      all parts but the last three, one after the other
#   tests/bench.sh PART [ARGUMENT…]     one of decode, state, disk, border, poison, remember, restart, events, reload, tenants, neighbours; arguments go to it (--help)
set -euo pipefail
cd "$(dirname "$0")/.."
parts=(decode state disk border poison remember restart events)
if [ $# -gt 0 ]; then parts=("$1"); shift; fi

tests/stack/packages.sh build java
mkdir -p "${CARGO_TARGET_DIR:-target}"; target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
bench=$target/release/bench out=$PWD/bench.json
case ${parts[*]} in reload | tenants | neighbours) ;; *) cargo build --release --locked -p engine -p bench ;; esac # both, so that they share what they are built of
toolchain=$(plugin-sdk/toolchain/wasm-target.sh)
# wasm_build FOLDER PACKAGE…: as plugins are built, into a target folder of its own.
wasm_build() {
  (cd "$1"; shift
  RUSTUP_TOOLCHAIN=$toolchain CARGO_TARGET_DIR=$wasm CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128" \
    cargo build --quiet --locked --profile plugin --lib --target wasm32-unknown-unknown "${@/#/-p}")
}
plugins=$target/plugins/wasm32-unknown-unknown/plugin

decode() { # beside other readers of JSON, which are built by themselves: they want other features of shared crates
  (cd tests/bench/readers && CARGO_TARGET_DIR=$target/readers cargo build --release --locked)
  "$bench" decode --readers "$target/readers/release/readers" --out "$out" "$@"
}

state() {
  "$bench" state --out "$out" "$@"
}

disk() {
  "$bench" disk --folder "$target" --out "$out" "$@"
}

border() { # beside arrow-udf, which brings its own Arrow and wasmtime
  wasm=$target/plugins wasm_build . bench-orders bench-echo bench-wide
  wasm=$target/arrow-udf wasm_build tests/bench/arrow-udf arrow-udf-guest
  (cd tests/bench/arrow-udf && CARGO_TARGET_DIR=$target/arrow-udf cargo build --release --locked -p arrow-udf-host)
  "$bench" border --plugins "$plugins" --out "$out" --arrow-udf "$target/arrow-udf/release/arrow-udf-host" \
    "$target/arrow-udf/wasm32-unknown-unknown/plugin/arrow_udf_guest.wasm" "$@"
}

poison() {
  wasm=$target/plugins wasm_build . bench-poison
  "$bench" poison --plugins "$plugins" --out "$out" "$@"
}

remember() {
  wasm=$target/plugins wasm_build . bench-dedup-number bench-dedup-text bench-clicks
  "$bench" remember --plugins "$plugins" --out "$out" "$@"
}

# with_stack COMMAND…: on a real broker and a real ClickHouse, which end with it.
with_stack() (
  tests/stack/fetch.sh kafka
  CLICKHOUSE_SERVE=$(tests/stack/clickhouse/fetch.sh); export CLICKHOUSE_SERVE
  export STACK_DIR KAFKA_PORT=${KAFKA_PORT:-19092}
  STACK_DIR=$(mktemp -d)
  trap 'tests/stack/down.sh --wipe; rmdir "$STACK_DIR"' EXIT
  tests/stack/up.sh kafka
  "$@" --kafka "127.0.0.1:$KAFKA_PORT" --engine "$target/release/engine" --out "$out"
)

# on_servers PROGRAM PLUGIN [ARGUMENT…]: a program of its own on a real broker and a real ClickHouse.
on_servers() (
  program=$1 plugin=$2; shift 2
  tests/stack/fetch.sh kafka
  serve=$(tests/stack/clickhouse/fetch.sh)
  wasm=$target/plugins wasm_build . "$plugin"
  cargo build --release --locked -p engine
  cargo build --release --locked -p "$program" # by itself: nothing of the engine has to be linked for it
  export STACK_DIR KAFKA_PORT=${KAFKA_PORT:-19092}
  port=${CLICKHOUSE_PORT:-18124}
  STACK_DIR=$(mktemp -d)
  trap 'kill "$server"; wait "$server" || true; tests/stack/down.sh --wipe; rm -rf "$STACK_DIR"' EXIT
  "$serve" --path "$STACK_DIR/clickhouse" --http "$port" --config tests/stack/clickhouse/config.xml >"$STACK_DIR/clickhouse.log" 2>&1 &
  server=$!
  tests/stack/up.sh kafka
  "$target/release/$program" "$@" --kafka "127.0.0.1:$KAFKA_PORT" --clickhouse "http://127.0.0.1:$port" \
    --engine "$target/release/engine" --plugin "$plugins/${plugin//-/_}.wasm" --out "$out"
)

reload() { # 100 changes of version in ten minutes of load: latency, so in real time
  on_servers swaps bench-marks "$@"
}

tenants() {
  on_servers crowd bench-manners tenants "$@"
}

neighbours() {
  on_servers crowd bench-manners neighbours "$@"
}

restart() {
  wasm=$target/plugins wasm_build . bench-dedup-number
  with_stack "$bench" restart --plugin "$plugins/bench_dedup_number.wasm" "$@"
}

events() {
  plugin-sdk/toolchain/build-plugins.sh orders
  cargo build --release --locked -p naive # by itself: built with the engine it would get the engine's slower serde_json features
  with_stack "$bench" events --naive "$target/release/naive" --plugins plugins "$@"
}

for part in "${parts[@]}"; do
  case $part in
    decode | state | disk | border | poison | remember | restart | events | reload | tenants | neighbours) ;;
    *) echo "bench: there is no part $part" >&2; exit 2 ;;
  esac
done
for part in "${parts[@]}"; do "$part" "$@"; done
